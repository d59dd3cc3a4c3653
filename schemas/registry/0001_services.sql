-- Services, their instances and contracts, as Spanlake keeps them in SQLite and in PostgreSQL alike: texts and whole
-- numbers only. Every key begins with the tenant (domain and project). `body` is JSON in the field names of the API.

CREATE TABLE services (
    domain  TEXT NOT NULL,
    project TEXT NOT NULL,
    service TEXT NOT NULL,
    body    TEXT NOT NULL,
    PRIMARY KEY (domain, project, service)
);

-- `tags` is a JSON object of texts. A service without tags has no row.
CREATE TABLE service_tags (
    domain  TEXT NOT NULL,
    project TEXT NOT NULL,
    service TEXT NOT NULL,
    tags    TEXT NOT NULL,
    PRIMARY KEY (domain, project, service)
);

-- Contracts. `summary` is the client's own digest of the text, empty where it sent none.
CREATE TABLE service_schemas (
    domain  TEXT NOT NULL,
    project TEXT NOT NULL,
    service TEXT NOT NULL,
    name    TEXT NOT NULL,
    summary TEXT NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (domain, project, service, name)
);

-- Instances. Heartbeats are not written: after a restart every instance has one whole term to send its next one.
CREATE TABLE instances (
    domain   TEXT NOT NULL,
    project  TEXT NOT NULL,
    service  TEXT NOT NULL,
    instance TEXT NOT NULL,
    body     TEXT NOT NULL,
    PRIMARY KEY (domain, project, service, instance)
);

-- Who asked for which service: recorded by discovery.
CREATE TABLE dependencies (
    domain      TEXT NOT NULL,
    project     TEXT NOT NULL,
    consumer    TEXT NOT NULL,
    environment TEXT NOT NULL,
    app         TEXT NOT NULL,
    name        TEXT NOT NULL,
    PRIMARY KEY (domain, project, consumer, environment, app, name)
);
