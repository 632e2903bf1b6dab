-- Writer: trainer (role trainer_rw).
create table trainer.inbox (
  event_id uuid primary key,
  received_at timestamptz not null default now()
);
create index inbox_received_at on trainer.inbox (received_at);

create table trainer.outbox (
  event_id uuid primary key,
  subject text not null,
  headers jsonb not null,
  payload bytea not null,
  created_at timestamptz not null default now()
);
create index outbox_created_at on trainer.outbox (created_at);

create table trainer.models (
  version text primary key,
  kind text not null check (kind in ('confidence', 'category')),
  number integer not null,
  status text not null check (status in ('candidate', 'champion', 'retired', 'rejected')),
  metrics jsonb not null,
  base_rate double precision,
  rows integer not null,
  trained_from timestamptz,
  trained_until timestamptz,
  sha256 text not null,
  feature_set text not null,
  lineage jsonb not null,
  created_at timestamptz not null default now(),
  promoted_at timestamptz,
  unique (kind, number)
);
create unique index models_champion on trainer.models (kind) where status = 'champion';

create table trainer.model_promotions (
  id bigint generated always as identity primary key,
  version text not null references trainer.models (version),
  kind text not null,
  previous text,
  promoted_at timestamptz not null default now(),
  promoted_by text not null,
  reason text not null
);

create table trainer.training_runs (
  run_id uuid primary key,
  kind text not null,
  status text not null check (status in ('queued', 'running', 'succeeded', 'failed')),
  progress double precision not null default 0,
  stage text not null default 'queued',
  reason text,
  requested_by text,
  request_reason text,
  model_version text,
  joined_run_id uuid,
  created_at timestamptz not null default now(),
  started_at timestamptz,
  finished_at timestamptz
);
