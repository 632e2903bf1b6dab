-- Writer: scoring (role scoring_rw).
create table scoring.inbox (
  event_id uuid primary key,
  received_at timestamptz not null default now()
);
create index inbox_received_at on scoring.inbox (received_at);

create table scoring.outbox (
  event_id uuid primary key,
  subject text not null,
  headers jsonb not null,
  payload bytea not null,
  created_at timestamptz not null default now()
);
create index outbox_created_at on scoring.outbox (created_at);

-- A row may begin as a stub that knows only its category (patterns was faster) or its rejection.
create table scoring.agent_auto_fixes (
  id uuid primary key,
  principal text,
  agent_id text,
  repository text,
  external_id text,
  author text,
  title text,
  fix_type text,
  domains text[] not null default '{}',
  learning_ids uuid[] not null default '{}',
  signals jsonb,
  imported boolean not null default false,
  submitted_at timestamptz,
  diff text,
  status text not null default 'accepted' check (status in ('accepted', 'scored', 'succeeded', 'failed', 'rejected')),
  status_reason text,
  scored_at timestamptz,
  confidence double precision check (confidence between 0 and 1),
  source text check (source in ('model', 'formula')),
  degraded boolean not null default false,
  model_version text,
  evidence integer,
  low_evidence boolean,
  decision text check (decision in ('auto_merge', 'review', 'block')),
  features double precision[],
  feature_set text,
  as_of timestamptz,
  paths text[] not null default '{}',
  category text,
  category_confidence double precision,
  pattern_id uuid,
  categorized_revision integer,
  constraint scored_is_whole check (
    scored_at is null
    or (agent_id is not null and repository is not null and submitted_at is not null and confidence is not null)
  )
);
create index agent_auto_fixes_page on scoring.agent_auto_fixes (submitted_at desc, id desc);
create index agent_auto_fixes_repository on scoring.agent_auto_fixes (repository, submitted_at desc, id desc);
create index agent_auto_fixes_agent on scoring.agent_auto_fixes (agent_id, submitted_at desc, id desc);

create table scoring.fix_outcomes (
  outcome_id uuid primary key,
  fix_id uuid not null,
  reporter text not null,
  kind text not null check (kind in ('merged', 'rejected', 'held', 'reverted', 'fixed_again')),
  observed_at timestamptz not null,
  reported_at timestamptz not null,
  detail text,
  imported boolean not null default false,
  state text not null check (state in ('pending', 'accepted', 'refused')),
  refused_reason text,
  effective boolean not null default false
);
create index fix_outcomes_fix on scoring.fix_outcomes (fix_id);
create unique index fix_outcomes_effective on scoring.fix_outcomes (fix_id) where effective;
create index fix_outcomes_pending on scoring.fix_outcomes (reported_at) where state = 'pending';

-- History in day buckets: adding to a bucket commutes, so order and concurrency do not matter; a bucket that
-- holds anything later than the as-of time is left out whole, so nothing is ever read from the future.
create table scoring.author_history (
  repository text not null,
  role text not null check (role in ('author', 'agent')),
  actor text not null,
  day date not null,
  changes integer not null default 0,
  failures integer not null default 0,
  last_change_at timestamptz,
  last_failure_at timestamptz,
  primary key (repository, role, actor, day)
);
create table scoring.file_history (
  repository text not null,
  path text not null,
  day date not null,
  changes integer not null default 0,
  failures integer not null default 0,
  last_change_at timestamptz,
  last_failure_at timestamptz,
  primary key (repository, path, day)
);
create table scoring.repository_history (
  repository text not null,
  day date not null,
  changes integer not null default 0,
  failures integer not null default 0,
  last_change_at timestamptz,
  last_failure_at timestamptz,
  primary key (repository, day)
);

-- `repository` '' holds the defaults.
create table scoring.thresholds (
  repository text primary key,
  auto_merge double precision not null check (auto_merge between 0 and 1),
  block double precision not null check (block between 0 and 1),
  updated_at timestamptz not null default now(),
  check (block < auto_merge)
);
insert into scoring.thresholds (repository, auto_merge, block) values ('', 0.95, 0.60);
