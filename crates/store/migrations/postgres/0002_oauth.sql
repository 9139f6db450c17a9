-- The OpenID provider: who is signed in at the browser, what was granted, what can still be redeemed.
-- Secrets (cookies, codes, refresh tokens) are kept as SHA-256 of a high-entropy value.
create table login_session (
    secret_hash bytea primary key,
    id uuid not null unique,
    user_id uuid not null references user_account (id) on delete cascade,
    auth_time bigint not null,     -- when the password was typed
    expires bigint not null,
    agent text not null,        -- the browser, for the sessions page
    address text
);
create index login_session_user on login_session (user_id, auth_time);
create index login_session_expires on login_session (expires);

create table oauth_consent (
    user_id uuid not null references user_account (id) on delete cascade,
    client text not null references client (id) on delete cascade,
    scope text not null,        -- space-delimited, sorted
    granted bigint not null,
    primary key (user_id, client)
);

create index oauth_consent_client on oauth_consent (client);

create table oauth_session (
    id uuid primary key,        -- the family of refresh tokens, and `sid`
    tenant uuid not null references tenant (id) on delete cascade,
    user_id uuid not null references user_account (id) on delete cascade,
    client text not null references client (id) on delete cascade,
    realm text not null,
    scope text not null,
    login uuid,                 -- the browser session it came from
    auth_time bigint not null,
    nonce text,
    created bigint not null,
    expires bigint not null
);
create index oauth_session_user on oauth_session (user_id, created);
create index oauth_session_tenant on oauth_session (tenant);
create index oauth_session_client on oauth_session (client);
create index oauth_session_login on oauth_session (login);
create index oauth_session_expires on oauth_session (expires);

create table oauth_code (
    code_hash bytea primary key,
    session uuid not null,      -- the session it becomes, or became
    request text not null,      -- what was asked for, JSON
    expires bigint not null,
    redeemed bigint                -- when; a second try ends the session
);
create index oauth_code_expires on oauth_code (expires);

create table oauth_refresh (
    token_hash bytea primary key,
    session uuid not null references oauth_session (id) on delete cascade,
    tenant uuid not null,       -- no reference: it goes with its session
    created bigint not null,
    expires bigint not null,
    spent bigint                   -- when it was exchanged for its successor
);
create index oauth_refresh_session on oauth_refresh (session);
create index oauth_refresh_expires on oauth_refresh (expires);
