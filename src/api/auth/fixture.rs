//! Requests that stock clients signed, as they came in (`fixtures/signed-requests.json`).

use axum::http::Request;
use axum::http::request::Parts;
use serde::Deserialize;

/// One of them.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Signed {
    /// The client.
    pub(super) what: String,
    pub(super) id: String,
    pub(super) secret: String,
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Signed {
    pub(super) fn all() -> Vec<Signed> {
        serde_json::from_str(include_str!("../../../fixtures/signed-requests.json")).unwrap()
    }

    /// Those of a scheme.
    pub(super) fn by(scheme: &str) -> Vec<Signed> {
        Signed::all().into_iter().filter(|signed| signed.scheme() == scheme).collect()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn scheme(&self) -> &str {
        self.header("authorization").unwrap().split(' ').next().unwrap()
    }

    /// The same with another value, or without the header.
    pub(super) fn with(mut self, name: &str, value: Option<&str>) -> Signed {
        self.headers.retain(|(key, _)| key != name);
        self.headers.extend(value.map(|value| (name.to_owned(), value.to_owned())));
        self
    }

    pub(super) fn head(&self) -> Parts {
        let mut request = Request::builder().method(self.method.as_str()).uri(&self.target);
        for (name, value) in &self.headers {
            request = request.header(name, value.as_bytes());
        }
        request.body(()).unwrap().into_parts().0
    }
}
