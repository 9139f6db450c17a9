-- Roles a tenant makes for itself, applications and where they are installed, invitations with a history.
create table tenant_role (
    id blob primary key,
    tenant blob not null references tenant (id) on delete cascade,
    name text not null,
    description text not null,
    grants text not null,           -- JSON: permissions, and what the face that made it calls them
    created integer not null,
    updated integer not null,
    unique (tenant, name)
) strict;
create index tenant_role_tenant on tenant_role (tenant, created, id);

create table member_role (
    tenant blob not null,
    user_id blob not null,
    role blob not null references tenant_role (id) on delete cascade,
    created integer not null,
    primary key (tenant, user_id, role),
    foreign key (tenant, user_id) references membership (tenant, user_id) on delete cascade
) strict;
create index member_role_user on member_role (user_id);
create index member_role_role on member_role (role, created, user_id);
create index membership_since on membership (tenant, created, user_id);
create index membership_role on membership (tenant, role, created, user_id);

create table application (
    id blob primary key,
    tenant blob not null references tenant (id) on delete cascade,  -- who develops it
    name text not null,
    teaser text,
    url text,
    active integer not null,
    wants_client text not null,     -- JSON, as grants above: on its own behalf
    wants_user text,                -- the same on its users' behalf; null: all a user may
    created integer not null,
    updated integer not null,
    unique (tenant, name)
) strict;
create index application_tenant_created on application (tenant, created, id);

-- A client that is one of an application's two; or one of this gateway's own, good in every tenant of its user.
alter table client add column application blob references application (id) on delete cascade;
alter table client add column everywhere integer not null default 0;
create index client_application on client (application, id);

-- Tenants that may install an application; no reference, for a developer need not know whether a tenant exists.
create table application_allowed (
    application blob not null references application (id) on delete cascade,
    tenant blob not null,
    comment text not null,
    created integer not null,
    primary key (application, tenant)
) strict;
create index application_allowed_tenant on application_allowed (tenant, application);
create index application_allowed_created on application_allowed (application, created, tenant);

create table installation (
    application blob not null references application (id) on delete cascade,
    tenant blob not null references tenant (id) on delete cascade,
    grants_client text not null,    -- what was agreed to, as wants_… above
    grants_user text,
    created integer not null,
    updated integer not null,
    primary key (application, tenant)
) strict;
create index installation_tenant on installation (tenant, application);
create index installation_created on installation (application, created, tenant);

create table custom_permission (
    id blob primary key,
    application blob not null references application (id) on delete cascade,
    alias text not null,
    name text not null,
    category text not null,
    description text,
    created integer not null,
    updated integer not null,
    unique (application, alias)
) strict;
create index custom_permission_created on custom_permission (application, created, id);

create table role_custom_permission (
    role blob not null references tenant_role (id) on delete cascade,
    permission blob not null references custom_permission (id) on delete cascade,
    primary key (role, permission)
) strict;
create index role_custom_permission_permission on role_custom_permission (permission);

-- What a tenant's owner said when it was made: billing and the like, for the face that asks.
create table tenant_contract (
    tenant blob primary key references tenant (id) on delete cascade,
    contract text not null          -- JSON object
) strict;

-- Invitations stay after they are answered; one open invitation for each address and tenant.
create table invitation_next (
    id blob primary key,
    tenant blob not null references tenant (id) on delete cascade,
    email text not null,
    created integer not null,
    status text not null default 'open',
    sender blob,                    -- no reference: who sent it may be gone
    roles text not null default '{"base":"user","roles":[]}'   -- JSON
) strict;
insert into invitation_next (id, tenant, email, created) select id, tenant, email, created from invitation;
drop table invitation;
alter table invitation_next rename to invitation;
create unique index invitation_open on invitation (tenant, email) where status = 'open';
create index invitation_tenant on invitation (tenant, created, id);
create index invitation_tenant_status on invitation (tenant, status, created, id);
create index invitation_email_status on invitation (email, status, created, id);
create index invitation_email on invitation (email, created, id);
