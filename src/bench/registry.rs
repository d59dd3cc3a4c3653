//! The registry under load: services and instances are registered, then kept alive at the rate at which clients do it,
//! once in batches and once one by one, and then consumers ask for a service that has not changed.
//!
//! ```text
//! register N services, M instances                 64 connections, each waits for its answers
//! heartbeats in batches of 100, then one by one    M in 15 s, paced, over connections that stay open
//! discovery with the revision of the last answer   one connection, one question after the other
//! ```

use super::client::{Answer, Connection, Post, Target};
use super::measure::{Percentiles, cpu_seconds, moment, peak_memory};
use super::report::{Rows, mebibytes};
use super::server::{OwnServer, TemporaryFolder};
use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Connections that register, and those that send single heartbeats.
const CONNECTIONS: usize = 64;
/// Connections that send batches.
const BATCH_CONNECTIONS: usize = 4;
/// Heartbeats of a batch.
const BATCH: usize = 100;
/// Clients send a heartbeat so often.
const INTERVAL: Duration = Duration::from_secs(15);
/// Questions of a consumer.
const QUESTIONS: usize = 2_000;
const ROOT: &str = "/v4/default/registry";

/// What to run.
#[derive(Clone, Debug)]
pub struct RegistryOptions {
    /// The server; `None` starts one.
    pub url: Option<String>,
    pub pid: Option<u32>,
    pub data: Option<PathBuf>,
    pub services: usize,
    pub instances: usize,
    /// How long heartbeats of each kind are sent.
    pub seconds: u64,
}

/// What it came to. CPU figures are null where the server's process is not known.
#[derive(Clone, Debug, Serialize)]
pub struct RegistryReport {
    pub services: usize,
    pub instances: usize,
    pub registered_per_second: f64,
    pub registration_cpu_seconds: Option<f64>,
    /// Heartbeats in batches.
    pub batched: HeartbeatReport,
    pub single: HeartbeatReport,
    /// Of questions whose answer has not changed.
    pub unchanged_milliseconds: Percentiles,
    pub peak_memory_bytes: Option<u64>,
    /// Answers that were not the expected ones.
    pub wrong: u64,
    pub examples: Vec<String>,
}

/// Heartbeats of one kind.
#[derive(Clone, Debug, Serialize)]
pub struct HeartbeatReport {
    pub heartbeats: u64,
    pub requests: u64,
    pub seconds: f64,
    /// Of the server, by the time that passed: 1 is a whole core.
    pub server_cores: Option<f64>,
    pub client_cores: Option<f64>,
    pub milliseconds: Percentiles,
}

impl RegistryReport {
    /// For a person.
    pub fn table(&self) -> String {
        let mut rows = Rows::default();
        rows.add("registered", format!("{} services, {} instances", self.services, self.instances));
        let cpu = self.registration_cpu_seconds.map_or(String::new(), |cpu| format!(", {cpu:.2} s of server CPU"));
        rows.add("", format!("{:.0} a second{cpu}", self.registered_per_second));
        for (name, report) in [("heartbeats", &self.batched), ("one by one", &self.single)] {
            let HeartbeatReport { heartbeats, requests, seconds, .. } = report;
            rows.add(name, format!("{heartbeats} in {requests} requests, {seconds:.1} s"));
            if let (Some(server), Some(client)) = (report.server_cores, report.client_cores) {
                let (server, client) = (server * 100.0, client * 100.0);
                rows.add("", format!("{server:.1} % of a core (client {client:.1} %)"));
            }
            let Percentiles { p50, p99, max, .. } = report.milliseconds;
            rows.add("", format!("p50 {p50:.2}  p99 {p99:.2}  max {max:.2} ms"));
        }
        let Percentiles { p50, p90, p99, max } = self.unchanged_milliseconds;
        rows.add("unchanged", format!("p50 {p50:.3}  p90 {p90:.3}  p99 {p99:.3}  max {max:.2} ms ({QUESTIONS} finds)"));
        if let Some(bytes) = self.peak_memory_bytes {
            rows.add("peak memory", mebibytes(bytes));
        }
        rows.add("wrong answers", self.wrong.to_string());
        for example in &self.examples {
            rows.add("", example.clone());
        }
        rows.0
    }
}

/// Registers, keeps alive and asks.
pub async fn run(options: &RegistryOptions, program: &Path) -> Result<RegistryReport, String> {
    let folder = TemporaryFolder::create()?;
    let mut own = None;
    let (target, pid) = match &options.url {
        Some(url) => (Target::parse(url)?, options.pid),
        None => {
            let data = options.data.clone().unwrap_or_else(|| folder.path().join("data"));
            std::fs::create_dir_all(&data).map_err(|error| format!("cannot create {}: {error}", data.display()))?;
            let server = OwnServer::start(program, &data)?;
            let found = (server.target.clone(), Some(server.pid()));
            own = Some(server);
            found
        }
    };
    let report = Subject { target, pid }.measure(options).await;
    match (report, own) {
        (Ok(report), Some(server)) => server.stop().map(|()| report),
        (Err(error), Some(mut server)) => Err(format!("{error}\n{}", server.why("was running"))),
        (report, None) => report,
    }
}

struct Subject {
    target: Target,
    pid: Option<u32>,
}

/// An instance by its service.
#[derive(Clone)]
struct Registered {
    service: String,
    instance: String,
}

/// Answers that were not as expected.
#[derive(Default)]
struct Wrong {
    count: u64,
    examples: Vec<String>,
}

impl Wrong {
    fn check(&mut self, answer: &Answer, expected: StatusCode) {
        if answer.status != expected {
            self.add(format!("{} instead of {expected}: {}", answer.status, answer.excerpt()));
        }
    }

    fn add(&mut self, what: String) {
        const MOST_EXAMPLES: usize = 5;
        self.count += 1;
        if self.examples.len() < MOST_EXAMPLES {
            self.examples.push(what);
        }
    }

    fn merge(&mut self, other: Wrong) {
        self.count += other.count.saturating_sub(other.examples.len() as u64);
        other.examples.into_iter().for_each(|example| self.add(example));
    }
}

impl Subject {
    fn server_cpu(&self) -> Option<f64> {
        cpu_seconds(self.pid?)
    }

    async fn measure(&self, options: &RegistryOptions) -> Result<RegistryReport, String> {
        // So that a wrong address is told as such, before anything is measured.
        Connection::new(self.target.clone()).get("/health").await?;
        let (cpu, start) = (self.server_cpu(), moment());
        let registered = self.register(options).await?;
        let seconds = moment().duration_since(start).as_secs_f64();
        let registration_cpu_seconds = difference(cpu, self.server_cpu());
        let mut wrong = Wrong::default();
        let batched = self.keep_alive(options, &registered, BATCH, &mut wrong).await?;
        let single = self.keep_alive(options, &registered, 1, &mut wrong).await?;
        let unchanged_milliseconds = self.ask(&registered, options.services, &mut wrong).await?;
        Ok(RegistryReport {
            services: options.services,
            instances: registered.len(),
            registered_per_second: (options.services + registered.len()) as f64 / seconds.max(1e-9),
            registration_cpu_seconds,
            batched,
            single,
            unchanged_milliseconds,
            peak_memory_bytes: self.pid.and_then(peak_memory),
            wrong: wrong.count,
            examples: wrong.examples,
        })
    }

    /// Instances in the order of their services, one of each service before the second of any.
    async fn register(&self, options: &RegistryOptions) -> Result<Vec<Registered>, String> {
        let mut workers = Vec::new();
        for worker in 0..CONNECTIONS {
            let numbers: Vec<usize> = (worker..options.services).step_by(CONNECTIONS).collect();
            let (services, instances) = (options.services, options.instances);
            let mut connection = Connection::new(self.target.clone());
            workers.push(tokio::spawn(async move {
                let mut registered = Vec::new();
                for number in numbers {
                    let answer = connection.post(&format!("{ROOT}/microservices"), Some(&service(number))).await?;
                    let id = text(&answer, "serviceId")?;
                    for copy in (number..instances).step_by(services) {
                        let path = format!("{ROOT}/microservices/{id}/instances");
                        let answer = connection.post(&path, Some(&instance(copy))).await?;
                        let instance = text(&answer, "instanceId")?;
                        registered.push(Registered { service: id.clone(), instance });
                    }
                }
                Ok::<_, String>(registered)
            }));
        }
        let mut registered = Vec::new();
        for worker in workers {
            registered.extend(worker.await.map_err(|error| error.to_string())??);
        }
        Ok(registered)
    }

    /// Sends every instance's heartbeat once in [`INTERVAL`], over and over, each request with so many.
    async fn keep_alive(
        &self,
        options: &RegistryOptions,
        registered: &[Registered],
        batch: usize,
        wrong: &mut Wrong,
    ) -> Result<HeartbeatReport, String> {
        let connections = if batch == 1 { CONNECTIONS } else { BATCH_CONNECTIONS };
        let batches: Vec<&[Registered]> = registered.chunks(batch).collect();
        let pace = INTERVAL.div_f64(batches.len().max(1) as f64);
        let length = Duration::from_secs(options.seconds);
        let requests = (length.as_secs_f64() / pace.as_secs_f64()) as usize;
        let (cpu, client_cpu) = (self.server_cpu(), cpu_seconds(std::process::id()));
        let start = moment();
        let mut workers = Vec::new();
        for worker in 0..connections {
            let mine: Vec<(usize, String, Option<Post>)> = (worker..requests)
                .step_by(connections)
                .map(|number| {
                    let (path, post) = heartbeat(batches[number % batches.len()], batch);
                    (number, path, post)
                })
                .collect();
            let mut connection = Connection::new(self.target.clone());
            workers.push(tokio::spawn(async move {
                let mut micros = Vec::with_capacity(mine.len());
                let mut wrong = Wrong::default();
                for (number, path, post) in mine {
                    let due = start + pace.mul_f64(number as f64);
                    tokio::time::sleep_until(due.into()).await;
                    let answer = connection.send(Method::PUT, &path, post.as_ref()).await?;
                    wrong.check(&answer, StatusCode::OK);
                    if batch > 1 && answer.body.windows(10).any(|window| window == b"errMessage") {
                        wrong.add(format!("a heartbeat of a batch was not taken: {}", answer.excerpt()));
                    }
                    micros.push(answer.micros);
                }
                Ok::<_, String>((micros, wrong))
            }));
        }
        let mut micros = Vec::new();
        for worker in workers {
            let (times, faults) = worker.await.map_err(|error| error.to_string())??;
            micros.extend(times);
            wrong.merge(faults);
        }
        let seconds = moment().duration_since(start).as_secs_f64();
        Ok(HeartbeatReport {
            heartbeats: (micros.len() * batch) as u64,
            requests: micros.len() as u64,
            seconds,
            server_cores: difference(cpu, self.server_cpu()).map(|cpu| cpu / seconds),
            client_cores: difference(client_cpu, cpu_seconds(std::process::id())).map(|cpu| cpu / seconds),
            milliseconds: Percentiles::of(micros),
        })
    }

    /// Asks for services with the revision of the answer before.
    async fn ask(&self, registered: &[Registered], services: usize, wrong: &mut Wrong) -> Result<Percentiles, String> {
        let mut connection = Connection::new(self.target.clone());
        let mut micros = Vec::new();
        for question in 0..QUESTIONS.min(registered.len()) {
            // Spread over all services.
            let number = question.wrapping_mul(7_919) % services.max(1);
            let path = format!("{ROOT}/instances?appId=bench&serviceName=service-{number}&version=0%2B&rev=");
            let first = connection.get(&path).await?;
            wrong.check(&first, StatusCode::OK);
            let revision = first.revision.unwrap_or_default();
            let again = connection.get(&format!("{path}{revision}")).await?;
            wrong.check(&again, StatusCode::NOT_MODIFIED);
            micros.push(again.micros);
        }
        Ok(Percentiles::of(micros))
    }
}

fn difference(before: Option<f64>, after: Option<f64>) -> Option<f64> {
    Some((after? - before?).max(0.0))
}

fn post(body: &Value) -> Post {
    Post { content_type: "application/json", gzip: false, body: Bytes::from(body.to_string()) }
}

/// As a Java service describes itself.
fn service(number: usize) -> Post {
    post(&json!({ "service": {
        "appId": "bench", "serviceName": format!("service-{number}"), "version": "1.0.0",
        "environment": "", "level": "BACK", "status": "UP", "registerBy": "SDK",
        "description": format!("the service number {number} of the bench"),
        "framework": { "name": "servicecomb-java-chassis", "version": "ServiceComb:2.8.30" },
        "properties": { "allowCrossApp": "false", "team": format!("team-{}", number % 100) },
        "schemas": [format!("ServiceEndpoint{}", number % 10), "HealthEndpoint"]
    } }))
}

fn instance(number: usize) -> Post {
    let (a, b) = (number / 250, number % 250 + 1);
    let host = format!("10.{}.{}.{b}", a / 250, a % 250);
    post(&json!({ "instance": {
        "hostName": format!("node-{number}"), "status": "UP",
        "endpoints": [format!("rest://{host}:8080?sslEnabled=false"), format!("highway://{host}:7070")],
        "healthCheck": { "mode": "push", "interval": 30, "times": 3 },
        "dataCenterInfo": { "name": "dc", "region": "region-1", "availableZone": format!("az-{}", number % 3) },
        "properties": { "weight": "100", "zone": format!("az-{}", number % 3) }
    } }))
}

/// The path and the body.
fn heartbeat(instances: &[Registered], batch: usize) -> (String, Option<Post>) {
    match instances {
        [Registered { service, instance }] if batch == 1 => {
            (format!("{ROOT}/microservices/{service}/instances/{instance}/heartbeat"), None)
        }
        _ => {
            let pair = |one: &Registered| json!({ "serviceId": one.service, "instanceId": one.instance });
            let pairs: Vec<Value> = instances.iter().map(pair).collect();
            (format!("{ROOT}/heartbeats"), Some(post(&json!({ "instances": pairs }))))
        }
    }
}

fn text(answer: &Answer, field: &str) -> Result<String, String> {
    let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let found = body.as_ref().and_then(|body| body.get(field)?.as_str());
    found.map(str::to_owned).ok_or_else(|| format!("no {field} in the answer {}: {}", answer.status, answer.excerpt()))
}
