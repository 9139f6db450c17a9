-- Rules, what they found, and who is told of it.

-- How often a tenant's rules and notifications were changed, and how many there are.
create table rule_version (
    tenant uuid primary key references tenant (id) on delete cascade,
    version bigint not null,
    rules bigint not null,
    notifications bigint not null
);

create table rule (
    id uuid primary key,
    tenant uuid not null references tenant (id) on delete cascade,
    name text not null,
    sort_name text not null,    -- lower case
    active boolean not null,
    draft text not null,        -- JSON
    created bigint not null,
    updated bigint not null
);
create index rule_page on rule (tenant, id);
create index rule_name on rule (tenant, sort_name, id);

-- Which series a rule is about, to list by.
create table rule_path (
    rule uuid not null references rule (id) on delete cascade,
    tenant uuid not null,
    path text not null,
    sort_name text not null,
    primary key (tenant, path, sort_name, rule)
);
create index rule_path_rule on rule_path (rule);

-- Where a rule stands with a thing (and series, where it runs for each by itself).
create table rule_state (
    rule uuid not null,
    thing uuid not null,
    path text not null,
    tenant uuid not null,
    holding boolean not null,
    fired bigint,              -- the last raising
    primary key (rule, thing, path)
);
create index rule_state_thing on rule_state (thing);
create index rule_state_tenant on rule_state (tenant, rule, thing, path);

create table rule_execution (
    event_id uuid primary key,
    rule uuid not null,
    tenant uuid not null,
    thing uuid not null,
    path text not null,
    event text not null,
    value text not null,        -- JSON
    at bigint not null
);
create index rule_execution_page on rule_execution (rule, at, event_id);
create index rule_execution_thing on rule_execution (thing);
create index rule_execution_tenant on rule_execution (tenant);

create table alert (
    id uuid primary key,
    tenant uuid not null,
    rule uuid not null,
    name text not null,
    thing uuid not null,
    path text not null,
    state text not null,        -- raised, acknowledged, cleared
    value text not null,        -- JSON
    count bigint not null,
    raised bigint not null,
    last bigint not null,
    acknowledged bigint,
    acknowledged_by text,
    cleared bigint,
    cleared_by text
);
create unique index alert_open on alert (rule, thing, path) where cleared is null;
create index alert_page on alert (tenant, id);
create index alert_state on alert (tenant, state, id);
create index alert_rule on alert (tenant, rule, id);
create index alert_thing on alert (thing, id);
create index alert_cleared on alert (cleared) where cleared is not null;

create table notification (
    id uuid primary key,
    tenant uuid not null references tenant (id) on delete cascade,
    draft text not null,        -- JSON
    created bigint not null,
    updated bigint not null,
    delivered bigint           -- the last delivery, for the debounce
);
create index notification_page on notification (tenant, created, id);

create table notification_history (
    id uuid primary key,
    tenant uuid not null,
    notification uuid not null,
    at bigint not null,
    thing uuid not null,
    event uuid not null,
    name text not null,
    value text not null,        -- JSON
    rule uuid,
    event_at bigint not null,
    suppressed boolean not null
);
create index notification_history_tenant on notification_history (tenant, id);
create index notification_history_page on notification_history (notification, id);
create index notification_history_thing on notification_history (thing);

-- No references from what the worker writes: a thing or rule that goes while it works must not stop it. These clear up after.
create function clear_rule() returns trigger language plpgsql as $$
begin
    delete from rule_state where rule = old.id;
    delete from rule_execution where rule = old.id;
    update alert set state = 'cleared', cleared = greatest(last, raised), cleared_by = 'rule deleted'
        where rule = old.id and cleared is null;
    return null;
end $$;
create trigger rule_gone after delete on rule for each row execute function clear_rule();
create function clear_notification() returns trigger language plpgsql as $$
begin
    delete from notification_history where notification = old.id;
    return null;
end $$;
create trigger notification_gone after delete on notification for each row execute function clear_notification();
create function clear_rules_of_thing() returns trigger language plpgsql as $$
begin
    delete from rule_state where thing = old.id;
    delete from rule_execution where thing = old.id;
    delete from alert where thing = old.id;
    delete from notification_history where thing = old.id;
    return null;
end $$;
create trigger rule_thing_gone after delete on thing for each row execute function clear_rules_of_thing();
create function clear_rules_of_tenant() returns trigger language plpgsql as $$
begin
    delete from rule_state where tenant = old.id;
    delete from rule_execution where tenant = old.id;
    delete from alert where tenant = old.id;
    delete from notification_history where tenant = old.id;
    return null;
end $$;
create trigger rule_tenant_gone after delete on tenant for each row execute function clear_rules_of_tenant();
