//! The application services of Alibaba Cloud's Serverless App Engine, version 2019-05-06: the detail of a service
//! (`DescribeAppServiceDetail`), and the lists that lead to it. What is told is [`crate::insight`]'s.
//!
//! * [`detail`]: a service's detail; agents may post what they know of it, in the fields of the answer.
//! * [`lists`]: all services, those of an application, those that it calls.
//! * [`parameters`]: what is asked for, and whose. The domain is `default`; `NamespaceId` names the project.
//! * [`answer`]: envelope, ids, refusals; [`form`] writes them in JSON and XML.
//!
//! What differs from the product's documents: lists of paths and types have plain texts as elements, where the example
//! has lists in JSON as texts; an answer tells who knows what (`Sources`, `Source`) and what is missing (`Notes`);
//! a refusal's `Recommend` is a text that says what to do.

mod answer;
mod detail;
mod form;
mod lists;
mod parameters;

use super::{Context, Refusal, Route};
use answer::{Rejection, Reply};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use axum::routing::{delete, get, post};

pub(super) static ROUTES: &[Route] = &[
    Route {
        method: Method::GET,
        path: "/pop/v1/sam/service/describeAppServiceDetail",
        handler: || get(detail::describe),
    },
    Route { method: Method::POST, path: "/pop/v1/sam/service/appServiceDetail", handler: || post(detail::put) },
    Route { method: Method::DELETE, path: "/pop/v1/sam/service/appServiceDetail", handler: || delete(detail::delete) },
    Route { method: Method::GET, path: "/pop/v1/sam/service/listAppServices", handler: || get(lists::list) },
    Route { method: Method::GET, path: "/pop/v1/sam/service/listAppServicesPage", handler: || get(lists::page) },
    Route { method: Method::GET, path: "/pop/v1/sam/service/listPublishedServices", handler: || get(lists::published) },
    Route { method: Method::GET, path: "/pop/v1/sam/service/listConsumedServices", handler: || get(lists::consumed) },
];

/// Somebody is not let in, for a reason of the product's; the refusal's message is what to do.
pub(super) fn refused(
    context: &Context,
    head: &Parts,
    code: &'static str,
    message: &str,
    refusal: Refusal,
) -> Response {
    let reply = Reply::new(context, head.uri.query().unwrap_or_default(), &head.headers);
    reply.refused(Rejection::around(code, message, refusal))
}

/// A body that could not be read.
pub(super) fn unreadable(context: &Context, head: &Parts, refusal: Refusal) -> Response {
    Reply::new(context, head.uri.query().unwrap_or_default(), &head.headers).refused(refusal.into())
}

/// Where the product's paths begin.
const PREFIX: &str = "/pop/";

/// The product's answer to a path of its own that there is not; none for others.
pub(super) fn no_such_path(context: &Context, uri: &Uri, headers: &HeaderMap) -> Option<Response> {
    if !uri.path().starts_with(PREFIX) {
        return None;
    }
    let mut remedy = "there are: ".to_owned();
    for (at, route) in ROUTES.iter().enumerate() {
        remedy.push_str(&format!("{}{} {}", if at > 0 { ", " } else { "" }, route.method, route.path));
    }
    let reply = Reply::new(context, uri.query().unwrap_or_default(), headers);
    Some(reply.refused(Rejection::no_action(remedy)))
}
