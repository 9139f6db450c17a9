-- Clients that prove themselves by key or certificate; tokens bound to a key; pushed requests; dynamic registration.
alter table client add column security text not null default '{}';      -- ClientSecurity, JSON
alter table client add column registration_hash blob;               -- of the registration access token (RFC 7592); null: not registered so

alter table oauth_session add column cnf text;                          -- the key its refresh tokens are bound to, JSON (RFC 7800)
alter table oauth_session add column resources text not null default ''; -- what its tokens are for, space-delimited (RFC 8707)

-- Pushed authorization requests (RFC 9126); each answers once.
create table oauth_pushed (
    uri_hash blob primary key,
    client text not null references client (id) on delete cascade,
    realm text not null,
    request text not null,          -- JSON
    created integer not null,
    expires integer not null
) strict;
create index oauth_pushed_client on oauth_pushed (client);
create index oauth_pushed_expires on oauth_pushed (expires);

-- What counts once: the ids of client assertions (RFC 7523 3).
create table oauth_once (
    hash blob primary key,
    expires integer not null
) strict;
create index oauth_once_expires on oauth_once (expires);

-- Initial access tokens of dynamic registration (RFC 7591 3).
create table oauth_initial_token (
    id blob primary key,
    token_hash blob not null unique,
    tenant blob not null references tenant (id) on delete cascade,
    label text not null,
    grants text not null,           -- JSON: what its clients may use at most
    scopes text not null,           -- JSON
    uses integer not null,              -- how many clients it may still make
    created integer not null,
    expires integer not null
) strict;
create index oauth_initial_token_tenant on oauth_initial_token (tenant, id);
create index oauth_initial_token_expires on oauth_initial_token (expires);
