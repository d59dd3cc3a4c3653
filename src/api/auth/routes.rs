//! ServiceComb's accounts over HTTP, as the service centre has them: <https://service-center.readthedocs.io>, "RBAC".
//! Where there are no accounts all these paths are not found, by which clients know that they need no token.

use super::super::servicecomb::{Failure, Refused};
use super::super::{Context, Refusal, Route, Shared, body};
use super::rbac::{ADMIN, DEVELOPER, NewAccount, Rbac};
use super::{Caller, Peer};
use crate::registry::Account;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr};

/// Open to everybody.
pub(in crate::api) static LOGIN_ROUTES: &[Route] =
    &[Route { method: Method::POST, path: "/v4/token", handler: || post(login) }];

pub(in crate::api) static ACCOUNT_ROUTES: &[Route] = &[
    Route { method: Method::GET, path: "/v4/accounts", handler: || get(list_accounts) },
    Route { method: Method::POST, path: "/v4/accounts", handler: || post(create_account) },
    Route { method: Method::GET, path: "/v4/accounts/{name}", handler: || get(get_account) },
    Route { method: Method::PUT, path: "/v4/accounts/{name}", handler: || put(update_account) },
    Route { method: Method::DELETE, path: "/v4/accounts/{name}", handler: || delete(delete_account) },
    Route { method: Method::POST, path: "/v4/accounts/{name}/password", handler: || post(change_password) },
    Route { method: Method::GET, path: "/v4/roles", handler: || get(list_roles) },
    Route { method: Method::GET, path: "/v4/roles/{name}", handler: || get(get_role) },
    Route { method: Method::GET, path: "/v4/self-perms", handler: || get(self_perms) },
];

/// The largest body here, in bytes.
const MOST_BYTES: usize = 64 << 10;

/// Why there is no answer.
enum Denied {
    /// There are no accounts.
    Off,
    Refused(Refused),
}

impl<E: Into<Refused>> From<E> for Denied {
    fn from(error: E) -> Self {
        Denied::Refused(error.into())
    }
}

impl IntoResponse for Denied {
    fn into_response(self) -> Response {
        match self {
            Denied::Off => {
                let message = "404 page not found\nauth.root_password: there are no accounts on this server; a \
                               password for root makes them";
                Refusal::new(StatusCode::NOT_FOUND, message).into_response()
            }
            Denied::Refused(refused) => refused.into_response(),
        }
    }
}

type Answer = Result<Response, Denied>;
type Name = Result<Path<String>, PathRejection>;
type FromPeer = Option<Extension<Peer>>;

fn rbac(context: &Context) -> Result<&Rbac, Denied> {
    context.auth.rbac.as_ref().ok_or(Denied::Off)
}

/// What is done, without a result.
fn done() -> Response {
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], "").into_response()
}

fn document(body: &impl Serialize) -> Response {
    let text = serde_json::to_string(body).unwrap_or_default();
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

fn name(name: Name) -> Result<String, Failure> {
    name.map(|Path(name)| name).map_err(|e| Failure::invalid(format!("path: {e}: send a name")))
}

fn address(peer: FromPeer) -> IpAddr {
    peer.map_or(Ipv4Addr::UNSPECIFIED.into(), |Extension(Peer(address))| address)
}

async fn read<T: DeserializeOwned>(context: &Context, headers: &HeaderMap, body: Body) -> Result<T, Refused> {
    let body = body::read(context, headers, body).await?;
    if body.len() > MOST_BYTES {
        return Err(Failure::invalid(format!("the body is larger than {MOST_BYTES} bytes: send less")).into());
    }
    // A list would be taken for the values of the fields in order.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Failure::invalid("the body is not as expected: send a JSON object").into());
    }
    serde_json::from_slice(&body).map_err(|e| Failure::invalid(format!("the body is not as expected: {e}")).into())
}

/// Who asks, if it is an admin.
fn admin(caller: Option<Extension<Caller>>, does: &str) -> Result<Caller, Failure> {
    let caller = caller_of(caller)?;
    if caller.is_admin() {
        return Ok(caller);
    }
    Err(Failure::new(403_205, format!("role has no permissions[{does}]: that takes the role {ADMIN}")))
}

/// Who asks. The guard has put it there.
fn caller_of(caller: Option<Extension<Caller>>) -> Result<Caller, Failure> {
    match caller {
        Some(Extension(caller)) => Ok(caller),
        None => Err(Failure::new(401_204, "header Authorization: send Bearer and a token of /v4/token")),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct LoginBody {
    name: String,
    password: String,
    token_expiration_time: Option<String>,
}

async fn login(State(context): State<Shared>, peer: FromPeer, headers: HeaderMap, body: Body) -> Answer {
    let rbac = rbac(&context)?;
    let LoginBody { name, password, token_expiration_time } = read(&context, &headers, body).await?;
    let token = rbac.login(&name, &password, token_expiration_time.as_deref(), address(peer)).await?;
    Ok(document(&serde_json::json!({ "token": token })))
}

/// An account as it is shown.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    id: &'a str,
    name: &'a str,
    roles: &'a [String],
    status: &'a str,
    create_time: String,
    update_time: String,
}

impl<'a> Shown<'a> {
    fn of(account: &'a Account) -> Shown<'a> {
        Shown {
            id: &account.id,
            name: &account.name,
            roles: &account.roles,
            status: &account.status,
            create_time: account.created.to_string(),
            update_time: account.updated.to_string(),
        }
    }
}

async fn list_accounts(State(context): State<Shared>, caller: Option<Extension<Caller>>) -> Answer {
    let rbac = rbac(&context)?;
    admin(caller, "account:get")?;
    let accounts = rbac.all();
    let data: Vec<Shown<'_>> = accounts.iter().map(|account| Shown::of(account)).collect();
    Ok(document(&serde_json::json!({ "total": data.len(), "data": data })))
}

async fn get_account(State(context): State<Shared>, caller: Option<Extension<Caller>>, path: Name) -> Answer {
    let rbac = rbac(&context)?;
    admin(caller, "account:get")?;
    Ok(document(&Shown::of(&*rbac.one(&name(path)?)?)))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AccountBody {
    name: String,
    password: String,
    roles: Vec<String>,
    /// What older clients send.
    role: String,
    status: String,
}

impl AccountBody {
    fn roles(&mut self) -> Vec<String> {
        let mut roles = std::mem::take(&mut self.roles);
        if roles.is_empty() && !self.role.is_empty() {
            roles.push(std::mem::take(&mut self.role));
        }
        roles
    }
}

async fn create_account(
    State(context): State<Shared>,
    caller: Option<Extension<Caller>>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let rbac = rbac(&context)?;
    admin(caller, "account:create")?;
    let mut sent: AccountBody = read(&context, &headers, body).await?;
    let roles = sent.roles();
    let AccountBody { name, password, status, .. } = sent;
    rbac.create(NewAccount { name, password, roles, status }).await?;
    Ok(done())
}

async fn update_account(
    State(context): State<Shared>,
    caller: Option<Extension<Caller>>,
    path: Name,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let rbac = rbac(&context)?;
    let caller = admin(caller, "account:update")?;
    let name = name(path)?;
    let mut sent: AccountBody = read(&context, &headers, body).await?;
    let roles = sent.roles();
    rbac.update(&caller, &name, roles, sent.status).await?;
    Ok(done())
}

async fn delete_account(State(context): State<Shared>, caller: Option<Extension<Caller>>, path: Name) -> Answer {
    let rbac = rbac(&context)?;
    let caller = admin(caller, "account:delete")?;
    rbac.delete(&caller, &name(path)?).await?;
    Ok(done())
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PasswordBody {
    current_password: String,
    password: String,
}

async fn change_password(
    State(context): State<Shared>,
    caller: Option<Extension<Caller>>,
    peer: FromPeer,
    path: Name,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let rbac = rbac(&context)?;
    let caller = caller_of(caller)?;
    let name = name(path)?;
    let PasswordBody { current_password, password } = read(&context, &headers, body).await?;
    rbac.change_password(&caller, &name, &current_password, password, address(peer)).await?;
    Ok(done())
}

#[derive(Serialize)]
struct Role {
    name: &'static str,
    perms: [Permission; 1],
}

#[derive(Serialize)]
struct Permission {
    resources: Vec<Resource>,
    verbs: [&'static str; 1],
}

#[derive(Serialize)]
struct Resource {
    r#type: &'static str,
}

/// The roles that there are. Nobody makes others.
fn roles() -> [Role; 2] {
    let role = |name, types: &[&'static str]| {
        let resources = types.iter().map(|r#type| Resource { r#type }).collect();
        Role { name, perms: [Permission { resources, verbs: ["*"] }] }
    };
    [
        role(ADMIN, &["account", "config", "role", "service", "governance", "ops", "service/schema"]),
        role(DEVELOPER, &["config", "service", "governance", "ops", "service/schema"]),
    ]
}

async fn list_roles(State(context): State<Shared>, caller: Option<Extension<Caller>>) -> Answer {
    rbac(&context)?;
    admin(caller, "role:get")?;
    let roles = roles();
    Ok(document(&serde_json::json!({ "total": roles.len(), "data": roles })))
}

async fn get_role(State(context): State<Shared>, caller: Option<Extension<Caller>>, path: Name) -> Answer {
    rbac(&context)?;
    admin(caller, "role:get")?;
    let wanted = name(path)?;
    match roles().into_iter().find(|role| role.name == wanted) {
        Some(role) => Ok(document(&role)),
        None => Err(Failure::new(400_201, "there are the roles admin and developer").into()),
    }
}

async fn self_perms(State(context): State<Shared>, caller: Option<Extension<Caller>>) -> Answer {
    rbac(&context)?;
    let caller = caller_of(caller)?;
    let own = roles().into_iter().filter(|role| caller.roles.iter().any(|name| name == role.name));
    let perms: Vec<Permission> = own.flat_map(|role| role.perms).collect();
    Ok(document(&serde_json::json!({ "perms": perms })))
}
