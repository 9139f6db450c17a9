-- Fleets: groups of things, what a fleet platform knows of a user beyond its account, and calls counted by day.
create table thing_group (
    id blob primary key,
    tenant blob not null references tenant (id) on delete cascade,
    name text not null,
    description text,
    created integer not null,
    updated integer not null,
    unique (tenant, name)
) strict;
create index thing_group_page on thing_group (tenant, id);

create table thing_group_member (
    tenant blob not null,
    group_id blob not null references thing_group (id) on delete cascade,
    position integer not null,  -- the order is the giver's
    thing blob not null references thing (id) on delete cascade,
    primary key (tenant, group_id, position),
    unique (group_id, thing)
) strict;
create index thing_group_member_thing on thing_group_member (thing);

create table user_profile (
    tenant blob not null,
    user_id blob not null,
    profile text not null,      -- JSON object
    updated integer not null,   -- 0: only signed in so far
    last_login integer,
    primary key (tenant, user_id),
    foreign key (tenant, user_id) references membership (tenant, user_id) on delete cascade
) strict;

create table api_calls (
    tenant blob not null references tenant (id) on delete cascade,
    day integer not null,       -- days since the epoch, UTC
    user_id blob not null,      -- nil: no user; no reference, what was counted stays counted
    calls integer not null,
    primary key (tenant, day, user_id)
) strict;
