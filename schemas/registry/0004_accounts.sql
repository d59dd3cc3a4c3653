-- Accounts of the server as a whole, and the secrets that the server makes for itself. `body` is JSON; of a password it
-- has what is kept of it, never the password.

CREATE TABLE accounts (
    name TEXT NOT NULL PRIMARY KEY,
    body TEXT NOT NULL
);

-- `tokens`: what accounts' tokens are signed with, in base 64.
CREATE TABLE secrets (
    name   TEXT NOT NULL PRIMARY KEY,
    secret TEXT NOT NULL
);
