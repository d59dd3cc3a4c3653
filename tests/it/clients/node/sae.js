// A service's detail, asked for by the core SDK in its resource-oriented way.
//
// usage: sae.js ADDRESS ACCESS_KEY SECRET json|xml NAME=VALUE...
// prints one JSON line: the answer, or the error as the SDK understands it
'use strict';

const { ROAClient } = require('@alicloud/pop-core');

const [address, accessKeyId, accessKeySecret, format, ...pairs] = process.argv.slice(2);
const client = new ROAClient({
  endpoint: `http://${address}`,
  apiVersion: '2019-05-06',
  accessKeyId,
  accessKeySecret,
});
const query = Object.fromEntries(pairs.map((pair) => pair.split('=', 2)));
const headers = { accept: format === 'xml' ? 'text/xml' : 'application/json' };

client
  .get('/pop/v1/sam/service/describeAppServiceDetail', query, headers)
  .then((body) => ({ body }))
  .catch((error) => ({ name: error.name, code: error.code, message: error.message, status: error.statusCode }))
  .then((said) => console.log(JSON.stringify(said)));
