//! Tencent Cloud's container service, API 2.0: what happened to the services of a cluster in the last hour
//! (`DescribeServiceEvent`), and the lists that lead to the names which that asks for. All of it is one path; the
//! parameter `Action` says what is asked.
//!
//! * [`parameters`]: the query's and the form's, in the spellings that clients have for them.
//! * [`actions`]: what each action takes and answers. What is told is [`crate::events`]'.
//! * [`answer`]: the envelope, and how a refusal is told: always with HTTP's status 200.
//!
//! Who may ask is checked by [`super::auth`], where the settings name anybody.

mod actions;
mod answer;
mod parameters;

pub(super) use answer::Rejection;
pub(super) use parameters::{MOST_BYTES, Parameters};

use super::{Context, Route, Shared, body, lookup, project};
use actions::{Action, Outcome};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{Method, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

/// The one path.
pub(super) const PATH: &str = "/v2/index.php";

pub(super) static ROUTES: &[Route] = &[
    Route { method: Method::GET, path: PATH, handler: || get(ask) },
    Route { method: Method::POST, path: PATH, handler: || post(ask) },
];

/// The parameters of a request whose body was read, or is not to be.
pub(super) fn parameters(head: &Parts, form: &[u8]) -> Result<Parameters, Rejection> {
    Parameters::read(&head.method, head.uri.query().unwrap_or_default(), &head.headers, form)
}

/// The product's answer to a method that it does not have; none for others' paths, nor for what scanners try.
pub(super) fn no_such_method(method: &Method, uri: &Uri) -> Option<Response> {
    let is_own = uri.path() == PATH && method != Method::TRACE;
    is_own.then(|| Rejection::wrong_method(format!("method {method}: send GET or POST")).into_response())
}

async fn ask(State(context): State<Shared>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    match told(&context, &head, body).await {
        Ok(response) => response,
        Err(rejection) => rejection.into_response(),
    }
}

async fn told(context: &Context, head: &Parts, body: Body) -> Result<Response, Rejection> {
    let parameters = match head.method == Method::POST {
        true => {
            let form = body::receive_small(context, &head.headers, body, MOST_BYTES).await;
            parameters(head, &form.map_err(Rejection::unreadable)?)?
        }
        false => parameters(head, b"")?,
    };
    let action = Action::read(&parameters)?;
    let project = project::resolve(context.config.projects, None, &head.headers)?;
    let (now, utc_offset) = (context.clock.now_micros(), context.config.ccs.utc_offset);
    let outcome =
        lookup::events(context, move |snapshot, stop| action.tell(snapshot, &project, now, utc_offset, stop)).await?;
    match outcome {
        Outcome::Told { data, message, damaged } => {
            let mut response = answer::done(&data, &message);
            lookup::mark_damage(&damaged, &mut response);
            Ok(response)
        }
        Outcome::UnknownCluster(cluster) => Err(Rejection::no_such_cluster(format!(
            "parameter clusterId: no event of the cluster {cluster:?} has come: send one that the action \
             DescribeCluster lists"
        ))),
    }
}
