-- Roles a tenant makes for itself, applications and where they are installed, invitations with a history.
create table tenant_role (
    id uuid primary key,
    tenant uuid not null references tenant (id) on delete cascade,
    name text not null,
    description text not null,
    grants text not null,           -- JSON: permissions, and what the face that made it calls them
    created bigint not null,
    updated bigint not null,
    unique (tenant, name)
);
create index tenant_role_tenant on tenant_role (tenant, created, id);

create table member_role (
    tenant uuid not null,
    user_id uuid not null,
    role uuid not null references tenant_role (id) on delete cascade,
    created bigint not null,
    primary key (tenant, user_id, role),
    foreign key (tenant, user_id) references membership (tenant, user_id) on delete cascade
);
create index member_role_user on member_role (user_id);
create index member_role_role on member_role (role, created, user_id);
create index membership_since on membership (tenant, created, user_id);
create index membership_role on membership (tenant, role, created, user_id);

create table application (
    id uuid primary key,
    tenant uuid not null references tenant (id) on delete cascade,  -- who develops it
    name text not null,
    teaser text,
    url text,
    active boolean not null,
    wants_client text not null,     -- JSON, as grants above: on its own behalf
    wants_user text,                -- the same on its users' behalf; null: all a user may
    created bigint not null,
    updated bigint not null,
    unique (tenant, name)
);
create index application_tenant_created on application (tenant, created, id);

-- A client that is one of an application's two; or one of this gateway's own, good in every tenant of its user.
alter table client add column application uuid references application (id) on delete cascade;
alter table client add column everywhere boolean not null default false;
create index client_application on client (application, id);

-- Tenants that may install an application; no reference, for a developer need not know whether a tenant exists.
create table application_allowed (
    application uuid not null references application (id) on delete cascade,
    tenant uuid not null,
    comment text not null,
    created bigint not null,
    primary key (application, tenant)
);
create index application_allowed_tenant on application_allowed (tenant, application);
create index application_allowed_created on application_allowed (application, created, tenant);

create table installation (
    application uuid not null references application (id) on delete cascade,
    tenant uuid not null references tenant (id) on delete cascade,
    grants_client text not null,    -- what was agreed to, as wants_… above
    grants_user text,
    created bigint not null,
    updated bigint not null,
    primary key (application, tenant)
);
create index installation_tenant on installation (tenant, application);
create index installation_created on installation (application, created, tenant);

create table custom_permission (
    id uuid primary key,
    application uuid not null references application (id) on delete cascade,
    alias text not null,
    name text not null,
    category text not null,
    description text,
    created bigint not null,
    updated bigint not null,
    unique (application, alias)
);
create index custom_permission_created on custom_permission (application, created, id);

create table role_custom_permission (
    role uuid not null references tenant_role (id) on delete cascade,
    permission uuid not null references custom_permission (id) on delete cascade,
    primary key (role, permission)
);
create index role_custom_permission_permission on role_custom_permission (permission);

-- What a tenant's owner said when it was made: billing and the like, for the face that asks.
create table tenant_contract (
    tenant uuid primary key references tenant (id) on delete cascade,
    contract text not null          -- JSON object
);

-- Invitations stay after they are answered; one open invitation for each address and tenant.
alter table invitation drop constraint invitation_tenant_email_key;
alter table invitation add column status text not null default 'open';
alter table invitation add column sender uuid;      -- no reference: who sent it may be gone
alter table invitation add column roles text not null default '{"base":"user","roles":[]}';   -- JSON
create unique index invitation_open on invitation (tenant, email) where status = 'open';
create index invitation_tenant on invitation (tenant, created, id);
create index invitation_tenant_status on invitation (tenant, status, created, id);
create index invitation_email_status on invitation (email, status, created, id);
drop index invitation_email;
create index invitation_email on invitation (email, created, id);
