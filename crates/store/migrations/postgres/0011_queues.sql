-- How safely a tenant's messages are kept, and why messages could not be delivered.
create table tenant_durability (
    tenant uuid primary key references tenant (id) on delete cascade,
    level text not null         -- sync, flush, memory
);

create table dead_letter (
    tenant uuid not null references tenant (id) on delete cascade,
    thing uuid not null references thing (id) on delete cascade,
    message uuid not null,
    reason text not null,
    since bigint not null,
    primary key (tenant, thing, message)
);
create index dead_letter_thing on dead_letter (thing);
