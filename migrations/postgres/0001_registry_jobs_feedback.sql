-- Times are milliseconds since 1970, by this database's clock. Booleans are 0 and 1, so that both databases read alike.

-- A version is reserved for its job before the bundle is written and stands complete from the moment it has a digest.
create table model_versions (
    name text not null,
    version bigint not null check (version > 0),
    job_id text,
    digest text,
    location text,
    created_ms bigint not null,
    primary key (name, version)
);
-- A job publishes once.
create unique index model_versions_job on model_versions (job_id) where job_id is not null;

create table active_versions (
    name text primary key,
    version bigint not null,
    changed_ms bigint not null,
    foreign key (name, version) references model_versions (name, version)
);

create table training_jobs (
    id text primary key,
    idempotency_key text unique,
    request_digest text not null,
    state text not null check (state in ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    name text not null,
    recipe text not null,
    data text not null,
    force bigint not null default 0,
    activate bigint not null default 1,
    created_ms bigint not null,
    started_ms bigint,
    finished_ms bigint,
    run_after_ms bigint not null default 0,
    attempts bigint not null default 0,
    max_attempts bigint not null check (max_attempts > 0),
    worker text,
    lease text,
    lease_ms bigint not null default 0,
    lease_until_ms bigint not null default 0,
    checkpoint bigint not null default 0,
    claimed_checkpoint bigint not null default 0,
    cancel_requested bigint not null default 0,
    progress text,
    error text,
    version bigint
);
create index training_jobs_queue on training_jobs (state, run_after_ms, created_ms);
create index training_jobs_page on training_jobs (created_ms, id);

create table training_epochs (
    job_id text not null references training_jobs (id) on delete cascade,
    epoch bigint not null,
    figures text not null,
    primary key (job_id, epoch)
);

create table feedback (
    id text primary key,
    text text not null,
    label text not null check (label in ('positive', 'negative')),
    language text,
    model text,
    version text,
    answered text,
    created_ms bigint not null
);
create index feedback_age on feedback (created_ms);

-- Servers listen, so that an activation reaches them at once.
create function tell_active_version() returns trigger language plpgsql as $$
begin
    perform pg_notify('sentiment_registry', new.name);
    return new;
end
$$;
create trigger tell_active_version after insert or update on active_versions
    for each row execute function tell_active_version();
