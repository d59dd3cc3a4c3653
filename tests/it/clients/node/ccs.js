// A question to the container service's API, asked by the SDK of Tencent Cloud's API 2.0.
//
// usage: ccs.js ADDRESS SECRET_ID SECRET_KEY GET|POST sha1|sha256 PARAMETERS
// the parameters are a JSON object; an empty SECRET_ID is none
// prints one JSON line: the answer, or the error as the SDK understands it
'use strict';

const QcloudApi = require('qcloudapi-sdk');

const [host, SecretId, SecretKey, method, signatureMethod, parameters] = process.argv.slice(2);
const client = new QcloudApi({ SecretId, SecretKey, signatureMethod, serviceType: 'ccs', Region: 'gz' });

client.request(JSON.parse(parameters), { protocol: 'http', host, method }, (error, body) => {
  console.log(JSON.stringify(error ? { error: error.message } : body));
});
