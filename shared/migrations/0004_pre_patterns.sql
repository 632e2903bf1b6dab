-- Writer: patterns (role patterns_rw).
create table patterns.inbox (
  event_id uuid primary key,
  received_at timestamptz not null default now()
);
create index inbox_received_at on patterns.inbox (received_at);

create table patterns.outbox (
  event_id uuid primary key,
  subject text not null,
  headers jsonb not null,
  payload bytea not null,
  created_at timestamptz not null default now()
);
create index outbox_created_at on patterns.outbox (created_at);

create table patterns.patterns (
  id uuid primary key,
  label text not null,
  category text not null,
  centroid halfvec(256) not null,
  path_terms jsonb not null default '{}',
  support integer not null,
  example_fix_id uuid not null,
  first_seen_at timestamptz not null,
  last_seen_at timestamptz not null
);
create index patterns_centroid on patterns.patterns using hnsw (centroid halfvec_cosine_ops);

create table patterns.fix_patterns (
  fix_id uuid primary key,
  agent_id text not null,
  repository text not null,
  submitted_at timestamptz not null,
  title text,
  category text not null,
  category_confidence double precision,
  categories jsonb not null default '{}',
  corrected_category text,
  corrected_by text,
  revision integer not null default 0,
  security_rank double precision,
  pattern_id uuid references patterns.patterns (id),
  duplicate_of uuid,
  is_new boolean not null default false,
  novelty double precision,
  related jsonb not null default '[]',
  languages jsonb not null default '{}',
  learning_ids uuid[] not null default '{}',
  embedding halfvec(256),
  path_terms jsonb not null default '{}',
  status_reason text,
  categorized_at timestamptz not null default now()
);
create index fix_patterns_repository on patterns.fix_patterns (repository, submitted_at desc);
create index fix_patterns_pattern on patterns.fix_patterns (pattern_id, submitted_at desc) where pattern_id is not null;

create table patterns.agent_learnings (
  id uuid primary key,
  principal text not null,
  agent_id text not null,
  title text not null,
  body text not null,
  agent_domains text[] not null default '{}',
  category text,
  pattern_id uuid,
  uses integer not null default 0,
  successes integer not null default 0,
  status text not null default 'active' check (status in ('active', 'held', 'superseded')),
  held_reasons text[] not null default '{}',
  superseded_by uuid,
  embedding halfvec(256) not null,
  version integer not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create index agent_learnings_embedding on patterns.agent_learnings using hnsw (embedding halfvec_cosine_ops);
create index agent_learnings_page on patterns.agent_learnings (created_at desc, id desc);

-- What each citing fix became; the counts of a learning move by the difference, so any order and any repeat is right.
create table patterns.learning_uses (
  learning_id uuid not null,
  fix_id uuid not null,
  succeeded boolean not null,
  primary key (learning_id, fix_id)
);
