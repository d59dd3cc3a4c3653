//! Contracts: the texts in which services describe their methods when they register, Swagger 2.0 or OpenAPI 3 in YAML or
//! JSON, as ServiceComb's and Spring Cloud's agents write them.
//!
//! In: one text. Out: its [`Method`]s, by path and verb; or why it cannot be read, in words. Types are told as Java names
//! them, because the API that asks for methods knows no other form: `x-java-class` where the contract has it, else what
//! such agents make of the schema, else the schema's own name.
//!
//! Invariants: no text makes it panic, recurse deeper than [`MOST_DEPTH`], or give out more than [`Limits`] allow; YAML
//! aliases expand within a budget. The work for a text is in proportion to its length and to what may be given out (see
//! `document`), and whoever waits for it is asked before each method whether to go on. What is beyond a limit is left
//! out, and counted or noted.

mod document;
mod operation;
mod types;

#[cfg(test)]
mod tests;

use std::fmt;

/// Bytes of a contract: what the registry takes of one.
const MOST_TEXT: usize = 2 << 20;
/// Objects and lists inside one another; references that lead to references.
const MOST_DEPTH: usize = 48;
/// Parameters of a method.
const MOST_PARAMETERS: usize = 128;
/// Bytes of a name, a type or a description; a longer one is cut.
const MOST_NAME: usize = 2_048;

/// How much is given out of a contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub methods: usize,
    /// Of all texts together, in bytes.
    pub bytes: usize,
}

/// What a contract says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contract {
    pub methods: Vec<Method>,
    /// Methods beyond the limits.
    pub left_out: usize,
    /// What else is missing, in words.
    pub notes: Vec<String>,
}

/// A method of a service. What is not known is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Method {
    /// The class that it is of.
    pub controller: String,
    pub return_type: String,
    pub return_details: String,
    pub name: String,
    pub name_detail: String,
    /// HTTP methods in upper case.
    pub request_methods: Vec<String>,
    /// Templates of paths, from the root on.
    pub paths: Vec<String>,
    pub parameters: Vec<Parameter>,
}

impl Method {
    /// Bytes of its texts.
    pub fn bytes(&self) -> usize {
        let Method { controller, return_type, return_details, name, name_detail, request_methods, paths, parameters } =
            self;
        let own = [controller, return_type, return_details, name, name_detail];
        let parameters = parameters.iter().flat_map(|parameter| [&parameter.name, &parameter.kind, &parameter.detail]);
        own.into_iter().chain(request_methods).chain(paths).chain(parameters).map(String::len).sum()
    }
}

/// A parameter of a method.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameter {
    pub name: String,
    /// Its type.
    pub kind: String,
    /// Its description.
    pub detail: String,
}

/// Why a contract cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable(String);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unreadable {}

/// Reads a contract. `id` is its name in the registry, which stands for the class where the text names none.
///
/// # Errors
/// What `go_on` says, which is asked before each path and each method; within, why the text cannot be read.
pub fn read<E>(
    text: &str,
    id: &str,
    limits: Limits,
    go_on: impl Fn() -> Result<(), E>,
) -> Result<Result<Contract, Unreadable>, E> {
    match document::parse(text, limits) {
        Ok(document) => operation::methods(&document, id, limits, go_on),
        Err(why) => Ok(Err(why)),
    }
}

/// A text within [`MOST_NAME`], without the white space around it.
fn cut(text: &str) -> String {
    short(text.trim()).to_owned()
}

/// The beginning of a text, within [`MOST_NAME`].
fn short(text: &str) -> &str {
    let mut end = text.len().min(MOST_NAME);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}
