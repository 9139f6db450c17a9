-- Types of things, what a thing has beyond its entry, and what its messages say: state, points, events, diagnostics.
create table thing_type (
    id blob primary key,
    tenant blob not null references tenant (id) on delete cascade,
    name text not null,
    manufacturer text,
    model text,
    description text,
    categories text not null,   -- JSON list
    reporting text not null,    -- JSON list
    sections text not null,     -- JSON object of JSON Schemas
    slots text not null,        -- JSON object
    communication_interval integer,
    created integer not null,
    updated integer not null
) strict;
create index thing_type_page on thing_type (tenant, id);

create table thing_twin (
    thing blob primary key references thing (id) on delete cascade,
    tenant blob not null,
    thing_type blob references thing_type (id),
    title text not null,
    description text,
    location text,
    coordinates text,           -- JSON object
    installed integer,
    connected_by blob references thing (id) on delete set null,
    aliases text not null,      -- JSON list; thing_alias keeps them unique
    communication_interval integer,
    configuration text not null, -- JSON object: as it should be
    custom text not null        -- JSON object
) strict;
create index thing_twin_tenant on thing_twin (tenant, thing);
create index thing_twin_type on thing_twin (thing_type);
create index thing_twin_gateway on thing_twin (connected_by);

create table thing_alias (
    tenant blob not null,
    alias text not null,
    thing blob not null references thing (id) on delete cascade,
    primary key (tenant, alias)
) strict, without rowid;
create index thing_alias_thing on thing_alias (thing);

create table thing_state (
    thing blob primary key references thing (id) on delete cascade,
    configuration text not null, -- JSON object: as reported
    attributes text not null,   -- JSON object
    last_seen integer
) strict;

-- No reference to the thing: points and the like of a thing that is gone are cleared away in steps, as its messages are.
create table thing_point (
    thing blob not null,
    path text not null,
    at integer not null,
    seq integer not null,       -- position of the message in the journal
    tenant blob not null,
    number real,
    other text,                 -- JSON, where it is no number
    primary key (thing, path, at, seq)
) strict, without rowid;
create index thing_point_age on thing_point (tenant, at);

create table thing_event (
    id blob primary key,
    tenant blob not null,
    thing blob not null,
    at integer not null,
    name text not null,
    value text not null,        -- JSON
    rule blob
) strict;
create index thing_event_page on thing_event (thing, at);
create index thing_event_age on thing_event (at);

create table thing_diagnostic (
    id blob primary key,
    tenant blob not null,
    thing blob not null,
    message blob,
    at integer not null,
    body text not null
) strict;
create index thing_diagnostic_page on thing_diagnostic (thing, at);
create index thing_diagnostic_age on thing_diagnostic (at);
