//! Configuration items, by the API of Apache ServiceComb's KIE, and their import and export as Huawei's CSE has them.
//!
//! * Whose items: the path's project and the header `X-Domain-Name` (`default` without it). Each pair sees its own.
//! * A list has the header `X-Kie-Revision`. Who asks with it as `revision` gets a 304 unless something that the
//!   request means was put or dropped since; with `wait=5s`, not before the time is over.
//! * An error says the same in the three spellings that the documents have: `errorCode` and `errorMessage`,
//!   `error_code` and `error_message`, `error_msg`; `detail` has the place and the remedy. The first three digits of a
//!   code are the status. Where a file is imported or items are exported, codes are the cloud service's
//!   (`SVCSTG.00400100`).
//!
//! [`answer`] has the forms, [`request`] and [`rules`] read what comes, [`items`], [`file`] and [`track`] answer the
//! routes.

mod answer;
mod file;
mod items;
mod request;
mod rules;
mod track;

use super::Route;
pub(super) use answer::Answers;
use axum::extract::DefaultBodyLimit;
use axum::http::Method;
use axum::routing::{delete, get, post, put};
pub(super) use track::Tracks;

pub(super) static ROUTES: &[Route] = &[
    Route { method: Method::POST, path: "/v1/{project_id}/kie/kv", handler: || post(items::create) },
    Route { method: Method::GET, path: "/v1/{project_id}/kie/kv", handler: || get(items::list) },
    Route { method: Method::DELETE, path: "/v1/{project_id}/kie/kv", handler: || delete(items::drop_many) },
    Route { method: Method::GET, path: "/v1/{project_id}/kie/kv/{kv_id}", handler: || get(items::get) },
    Route { method: Method::PUT, path: "/v1/{project_id}/kie/kv/{kv_id}", handler: || put(items::change) },
    Route { method: Method::DELETE, path: "/v1/{project_id}/kie/kv/{kv_id}", handler: || delete(items::drop_one) },
    Route { method: Method::GET, path: "/v1/{project_id}/kie/revision/{kv_id}", handler: || get(items::states) },
    Route { method: Method::GET, path: "/v1/{project_id}/kie/track", handler: || get(track::get_tracks) },
];

/// Import and export, which the engine's own API has beside the configuration centre's.
pub(super) static FILE_ROUTES: &[Route] = &[
    Route {
        method: Method::POST,
        path: "/v1/{project_id}/kie/file",
        // The body is bounded where it is read.
        handler: || post(file::import).layer(DefaultBodyLimit::disable()),
    },
    Route { method: Method::POST, path: "/v1/{project_id}/kie/download", handler: || post(file::export) },
];

/// Asked by clients that look for a configuration centre, before they log in.
pub(super) static OPEN_ROUTES: &[Route] =
    &[Route { method: Method::GET, path: "/v1/health", handler: || get(track::get_health) }];
