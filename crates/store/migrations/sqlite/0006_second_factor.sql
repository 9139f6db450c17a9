-- Second factors: codes of an app (RFC 6238), recovery codes, and who must have one.
create table second_factor (
    user_id blob primary key references user_account (id) on delete cascade,
    required integer not null,      -- must this user have one, whatever its tenants say?
    secret blob,                    -- sealed under the master key; null: none
    step integer not null,          -- the last time step a code was used of: each counts once
    enrolled integer                -- since when
) strict;

create table recovery_code (
    user_id blob not null references user_account (id) on delete cascade,
    code_hash blob not null,        -- keyed with the master key
    primary key (user_id, code_hash)
) strict;

create table tenant_security (
    tenant blob primary key references tenant (id) on delete cascade,
    second_factor_required integer not null
) strict;

-- A browser whose user typed the right password and not yet the code.
create table half_login (
    secret_hash blob primary key,
    user_id blob not null references user_account (id) on delete cascade,
    created integer not null,       -- when the password was typed
    expires integer not null
) strict;
create index half_login_user on half_login (user_id);
create index half_login_expires on half_login (expires);

-- How the user proved who it is: RFC 8176 values, space-delimited.
alter table login_session add column methods text not null default 'pwd';
alter table oauth_session add column methods text not null default 'pwd';
