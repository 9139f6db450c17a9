-- How safely a tenant's messages are kept, and why messages could not be delivered.
create table tenant_durability (
    tenant blob primary key references tenant (id) on delete cascade,
    level text not null         -- sync, flush, memory
) strict;

create table dead_letter (
    tenant blob not null references tenant (id) on delete cascade,
    thing blob not null references thing (id) on delete cascade,
    message blob not null,
    reason text not null,
    since integer not null,
    primary key (tenant, thing, message)
) strict;
create index dead_letter_thing on dead_letter (thing);
