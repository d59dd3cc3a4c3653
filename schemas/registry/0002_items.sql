-- Configuration items. `body` is JSON in the field names of the API, without the value. The key begins with the id, so
-- that PostgreSQL reads many by their ids alone: what it has no statistics of yet it would look through tenant by tenant.

CREATE TABLE items (
    domain  TEXT NOT NULL,
    project TEXT NOT NULL,
    item    TEXT NOT NULL,
    body    TEXT NOT NULL,
    value   TEXT NOT NULL,
    PRIMARY KEY (item, domain, project)
);

-- The last states of each item that is there, the newest among them.
CREATE TABLE item_history (
    domain   TEXT NOT NULL,
    project  TEXT NOT NULL,
    item     TEXT NOT NULL,
    revision BIGINT NOT NULL,
    body     TEXT NOT NULL,
    value    TEXT NOT NULL,
    PRIMARY KEY (domain, project, item, revision)
);

-- A tenant's counter: each put and each drop of an item has a greater number than the one before it, for ever.
CREATE TABLE item_revisions (
    domain   TEXT NOT NULL,
    project  TEXT NOT NULL,
    revision BIGINT NOT NULL,
    PRIMARY KEY (domain, project)
);
