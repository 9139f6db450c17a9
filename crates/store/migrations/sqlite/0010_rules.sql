-- Rules, what they found, and who is told of it.

-- How often a tenant's rules and notifications were changed, and how many there are.
create table rule_version (
    tenant blob primary key references tenant (id) on delete cascade,
    version integer not null,
    rules integer not null,
    notifications integer not null
) strict;

create table rule (
    id blob primary key,
    tenant blob not null references tenant (id) on delete cascade,
    name text not null,
    sort_name text not null,    -- lower case
    active integer not null,
    draft text not null,        -- JSON
    created integer not null,
    updated integer not null
) strict;
create index rule_page on rule (tenant, id);
create index rule_name on rule (tenant, sort_name, id);

-- Which series a rule is about, to list by.
create table rule_path (
    rule blob not null references rule (id) on delete cascade,
    tenant blob not null,
    path text not null,
    sort_name text not null,
    primary key (tenant, path, sort_name, rule)
) strict;
create index rule_path_rule on rule_path (rule);

-- Where a rule stands with a thing (and series, where it runs for each by itself).
create table rule_state (
    rule blob not null,
    thing blob not null,
    path text not null,
    tenant blob not null,
    holding integer not null,
    fired integer,              -- the last raising
    primary key (rule, thing, path)
) strict;
create index rule_state_thing on rule_state (thing);
create index rule_state_tenant on rule_state (tenant, rule, thing, path);

create table rule_execution (
    event_id blob primary key,
    rule blob not null,
    tenant blob not null,
    thing blob not null,
    path text not null,
    event text not null,
    value text not null,        -- JSON
    at integer not null
) strict;
create index rule_execution_page on rule_execution (rule, at, event_id);
create index rule_execution_thing on rule_execution (thing);
create index rule_execution_tenant on rule_execution (tenant);

create table alert (
    id blob primary key,
    tenant blob not null,
    rule blob not null,
    name text not null,
    thing blob not null,
    path text not null,
    state text not null,        -- raised, acknowledged, cleared
    value text not null,        -- JSON
    count integer not null,
    raised integer not null,
    last integer not null,
    acknowledged integer,
    acknowledged_by text,
    cleared integer,
    cleared_by text
) strict;
create unique index alert_open on alert (rule, thing, path) where cleared is null;
create index alert_page on alert (tenant, id);
create index alert_state on alert (tenant, state, id);
create index alert_rule on alert (tenant, rule, id);
create index alert_thing on alert (thing, id);
create index alert_cleared on alert (cleared) where cleared is not null;

create table notification (
    id blob primary key,
    tenant blob not null references tenant (id) on delete cascade,
    draft text not null,        -- JSON
    created integer not null,
    updated integer not null,
    delivered integer           -- the last delivery, for the debounce
) strict;
create index notification_page on notification (tenant, created, id);

create table notification_history (
    id blob primary key,
    tenant blob not null,
    notification blob not null,
    at integer not null,
    thing blob not null,
    event blob not null,
    name text not null,
    value text not null,        -- JSON
    rule blob,
    event_at integer not null,
    suppressed integer not null
) strict;
create index notification_history_tenant on notification_history (tenant, id);
create index notification_history_page on notification_history (notification, id);
create index notification_history_thing on notification_history (thing);

-- No references from what the worker writes: a thing or rule that goes while it works must not stop it. These clear up after.
create trigger rule_gone after delete on rule begin
    delete from rule_state where rule = old.id;
    delete from rule_execution where rule = old.id;
    update alert set state = 'cleared', cleared = max(last, raised), cleared_by = 'rule deleted'
        where rule = old.id and cleared is null;
end;
create trigger notification_gone after delete on notification begin
    delete from notification_history where notification = old.id;
end;
create trigger rule_thing_gone after delete on thing begin
    delete from rule_state where thing = old.id;
    delete from rule_execution where thing = old.id;
    delete from alert where thing = old.id;
    delete from notification_history where thing = old.id;
end;
create trigger rule_tenant_gone after delete on tenant begin
    delete from rule_state where tenant = old.id;
    delete from rule_execution where tenant = old.id;
    delete from alert where tenant = old.id;
    delete from notification_history where tenant = old.id;
end;
