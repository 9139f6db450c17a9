-- Entities. Times are microseconds since the epoch; lists and maps are JSON text.
create table tenant (
    id uuid primary key,
    name text not null unique,
    affiliation text,
    plan text not null,
    plan_since bigint not null,
    created bigint not null
);

create table user_account (
    id uuid primary key,
    email text not null unique,
    username text unique,
    given_name text,
    family_name text,
    verified boolean not null,
    disabled boolean not null,
    operator boolean not null,
    password text,              -- PHC string, argon2id
    tokens_from bigint not null, -- tokens issued before are refused (password change)
    created bigint not null,
    updated bigint not null
);

create table membership (
    tenant uuid not null references tenant (id) on delete cascade,
    user_id uuid not null references user_account (id) on delete cascade,
    role text not null,
    created bigint not null,
    primary key (tenant, user_id)
);
create index membership_user on membership (user_id, created);

create table client (
    id text primary key,
    tenant uuid not null references tenant (id) on delete cascade,
    name text not null,
    is_public boolean not null,
    secret_hash bytea,
    grants text not null,
    redirect_uris text not null,
    scopes text not null,
    created bigint not null
);
create index client_tenant on client (tenant, id);

create table api_key (
    id uuid primary key,
    tenant uuid not null references tenant (id) on delete cascade,
    user_id uuid not null references user_account (id) on delete cascade,
    label text not null,
    hint text not null,
    secret_hash bytea not null unique,
    created bigint not null,
    expires bigint
);
create index api_key_tenant on api_key (tenant, id);
create index api_key_user on api_key (user_id);

create table signing_key (
    kid text primary key,
    algorithm text not null,
    private_key bytea not null, -- sealed under the master key
    public_key bytea not null,  -- SPKI DER; empty for HMAC
    created bigint not null,
    signs_from bigint not null,
    signs_until bigint,            -- null: the current key
    profile text,                   -- null: every token profile of the algorithm
    longest bigint not null         -- longest lifetime of a token it signed
);

create table revoked_token (
    id uuid primary key,
    expires bigint not null
);
create index revoked_token_expires on revoked_token (expires);

create table audit (
    id uuid primary key,
    tenant uuid,                -- no reference: the trail outlives its tenant
    at bigint not null,
    actor text not null,
    action text not null,
    target text,
    allowed boolean not null,
    detail text,
    address text
);
create index audit_tenant on audit (tenant, id);

create table registration (
    email text primary key,
    code_hash bytea not null,
    password text not null,     -- PHC string
    tries bigint not null,
    sent bigint not null,       -- the last code
    started bigint not null,    -- the first code of the day
    sends bigint not null,      -- codes since then
    expires bigint not null
);
create index registration_expires on registration (expires);

create table setting (
    name text primary key,
    value bytea not null
);

create table thing (
    id uuid primary key,
    tenant uuid not null references tenant (id) on delete cascade,
    thing_key text not null,
    name text not null,
    kind text not null,
    distribution text not null,
    tags text not null,
    attributes text not null,
    status text not null,
    owner uuid,
    secret_hash bytea,
    created bigint not null,
    updated bigint not null,
    unique (tenant, thing_key),
    unique (tenant, name)
);
create index thing_page on thing (tenant, id);
create index thing_handle on thing (thing_key);

-- Things that are gone, alone or with their tenant, and whose messages the journal must still forget.
create table forgetting (
    thing uuid primary key,
    tenant uuid not null
);
create function thing_gone() returns trigger language plpgsql as $$
begin
    insert into forgetting (thing, tenant) values (old.id, old.tenant);
    return old;
end
$$;
create trigger thing_gone after delete on thing for each row execute function thing_gone();

create table certificate (
    fingerprint text primary key,
    tenant uuid not null references tenant (id) on delete cascade,
    thing uuid not null references thing (id) on delete cascade,
    pem text not null,
    public_key text not null,
    private_key bytea,          -- sealed under the master key; only for keys made here
    status text not null,
    issued_here boolean not null,
    not_before bigint not null,
    not_after bigint not null,
    created bigint not null
);
create index certificate_tenant on certificate (tenant);
create index certificate_thing on certificate (thing, created, fingerprint);

create table usage (
    tenant uuid not null references tenant (id) on delete cascade,
    period bigint not null,        -- where the period begins
    collected bigint not null,
    published bigint not null,
    primary key (tenant, period)
);

create table cursor_position (
    name text primary key,
    position bigint not null
);

create table mqtt_session (
    tenant uuid not null,
    client_id text not null,
    state bytea not null,
    expires bigint,
    primary key (tenant, client_id)
);

create table outbox (
    id uuid primary key,
    tenant uuid,
    channel text not null,
    body text not null,
    state text not null,        -- queued, sent, dead
    attempts bigint not null,
    next_at bigint not null,
    last_error text,
    created bigint not null
);
create index outbox_due on outbox (state, next_at, id);
create index outbox_state on outbox (state, id);
create index outbox_tenant on outbox (tenant, state, id);
