-- Types of things, what a thing has beyond its entry, and what its messages say: state, points, events, diagnostics.
create table thing_type (
    id uuid primary key,
    tenant uuid not null references tenant (id) on delete cascade,
    name text not null,
    manufacturer text,
    model text,
    description text,
    categories text not null,   -- JSON list
    reporting text not null,    -- JSON list
    sections text not null,     -- JSON object of JSON Schemas
    slots text not null,        -- JSON object
    communication_interval bigint,
    created bigint not null,
    updated bigint not null
);
create index thing_type_page on thing_type (tenant, id);

create table thing_twin (
    thing uuid primary key references thing (id) on delete cascade,
    tenant uuid not null,
    thing_type uuid references thing_type (id),
    title text not null,
    description text,
    location text,
    coordinates text,           -- JSON object
    installed bigint,
    connected_by uuid references thing (id) on delete set null,
    aliases text not null,      -- JSON list; thing_alias keeps them unique
    communication_interval bigint,
    configuration text not null, -- JSON object: as it should be
    custom text not null        -- JSON object
);
create index thing_twin_tenant on thing_twin (tenant, thing);
create index thing_twin_type on thing_twin (thing_type);
create index thing_twin_gateway on thing_twin (connected_by);

create table thing_alias (
    tenant uuid not null,
    alias text not null,
    thing uuid not null references thing (id) on delete cascade,
    primary key (tenant, alias)
);
create index thing_alias_thing on thing_alias (thing);

create table thing_state (
    thing uuid primary key references thing (id) on delete cascade,
    configuration text not null, -- JSON object: as reported
    attributes text not null,   -- JSON object
    last_seen bigint
);

-- No reference to the thing: points and the like of a thing that is gone are cleared away in steps, as its messages are.
create table thing_point (
    thing uuid not null,
    path text not null,
    at bigint not null,
    seq bigint not null,       -- position of the message in the journal
    tenant uuid not null,
    number double precision,
    other text,                 -- JSON, where it is no number
    primary key (thing, path, at, seq)
);
create index thing_point_age on thing_point (tenant, at);

create table thing_event (
    id uuid primary key,
    tenant uuid not null,
    thing uuid not null,
    at bigint not null,
    name text not null,
    value text not null,        -- JSON
    rule uuid
);
create index thing_event_page on thing_event (thing, at);
create index thing_event_age on thing_event (at);

create table thing_diagnostic (
    id uuid primary key,
    tenant uuid not null,
    thing uuid not null,
    message uuid,
    at bigint not null,
    body text not null
);
create index thing_diagnostic_page on thing_diagnostic (thing, at);
create index thing_diagnostic_age on thing_diagnostic (at);
