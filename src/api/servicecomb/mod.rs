//! The registry API of Apache ServiceComb's service centre (`/v4/{project}/registry`, `/v4/{project}/govern`), as its
//! stock clients speak it.
//!
//! * Whose registry: the path's project and the header `X-Domain-Name` (`default` without it). Each pair sees its own.
//! * An answer with an object is JSON; one without has an empty body. Empty lists and texts are left out, and nothing is
//!   ever null.
//! * An error is `{"errorCode":"400012","errorMessage":"..","detail":".."}`, compact, the code a text. The status is the
//!   code's first three digits: what is missing is a 400, not a 404, which clients take for a server of another kind.
//!
//! * A service `SERVICECENTER` stands for the server itself: clients look for its instances by [`own`]'s answers. It is
//!   not stored.
//!
//! [`answer`] has the forms, [`request`] reads what comes, [`rules`] say what fields may hold; the rest have the routes.

mod answer;
mod dependencies;
mod govern;
mod instances;
mod own;
mod request;
mod rules;
mod schemas;
mod services;
mod sockets;
mod tags;

pub(super) use answer::{Failure, Refused};

use super::Route;

/// The routes of the registry.
pub(super) fn routes() -> impl Iterator<Item = &'static Route> {
    [
        services::ROUTES,
        schemas::ROUTES,
        tags::ROUTES,
        instances::ROUTES,
        dependencies::ROUTES,
        sockets::ROUTES,
        govern::ROUTES,
    ]
    .into_iter()
    .flatten()
}

/// Those that everybody may ask, whoever else is let in: by them clients find a server to log in at.
pub(super) fn open_routes() -> impl Iterator<Item = &'static Route> {
    own::ROUTES.iter()
}
