-- Fleets: groups of things, what a fleet platform knows of a user beyond its account, and calls counted by day.
create table thing_group (
    id uuid primary key,
    tenant uuid not null references tenant (id) on delete cascade,
    name text not null,
    description text,
    created bigint not null,
    updated bigint not null,
    unique (tenant, name)
);
create index thing_group_page on thing_group (tenant, id);

create table thing_group_member (
    tenant uuid not null,
    group_id uuid not null references thing_group (id) on delete cascade,
    position bigint not null,  -- the order is the giver's
    thing uuid not null references thing (id) on delete cascade,
    primary key (tenant, group_id, position),
    unique (group_id, thing)
);
create index thing_group_member_thing on thing_group_member (thing);

create table user_profile (
    tenant uuid not null,
    user_id uuid not null,
    profile text not null,      -- JSON object
    updated bigint not null,   -- 0: only signed in so far
    last_login bigint,
    primary key (tenant, user_id),
    foreign key (tenant, user_id) references membership (tenant, user_id) on delete cascade
);

create table api_calls (
    tenant uuid not null references tenant (id) on delete cascade,
    day bigint not null,       -- days since the epoch, UTC
    user_id uuid not null,      -- nil: no user; no reference, what was counted stays counted
    calls bigint not null,
    primary key (tenant, day, user_id)
);
