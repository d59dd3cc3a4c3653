-- What agents posted about services, in the form of the application service detail. `kind` is the service's type, empty
-- where it is not known; `body` is JSON in the field names of the API.

CREATE TABLE service_details (
    domain  TEXT NOT NULL,
    project TEXT NOT NULL,
    app     TEXT NOT NULL,
    name    TEXT NOT NULL,
    family  TEXT NOT NULL,
    version TEXT NOT NULL,
    kind    TEXT NOT NULL,
    body    TEXT NOT NULL,
    PRIMARY KEY (domain, project, app, name, family, version)
);
