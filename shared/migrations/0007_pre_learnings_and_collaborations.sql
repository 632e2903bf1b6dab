-- Writer: patterns (role patterns_rw).
-- A learning knows where it came from, what it all but repeats, and who let it out when it was held.
alter table patterns.agent_learnings
  add column fix_id uuid,
  add column collaboration_id uuid,
  add column duplicate_of uuid,
  add column released_by text;
create index agent_learnings_superseded_by on patterns.agent_learnings (superseded_by) where superseded_by is not null;
create index agent_learnings_pattern on patterns.agent_learnings (pattern_id) where pattern_id is not null;

-- What a learning said before each change; the present stands in agent_learnings.
create table patterns.learning_versions (
  learning_id uuid not null references patterns.agent_learnings (id) on delete cascade,
  version integer not null,
  title text not null,
  body text not null,
  agent_domains text[] not null,
  category text,
  pattern_id uuid,
  status text not null,
  held_reasons text[] not null,
  superseded_by uuid,
  replaced_by text not null,
  replaced_at timestamptz not null default now(),
  primary key (learning_id, version)
);

-- One row a citation that was told of, also while its fix is unsettled: `revision` tells an older word from a newer.
alter table patterns.learning_uses
  alter column succeeded drop not null,
  add column revision integer not null default 0;

create table patterns.agent_collaborations (
  id uuid primary key,
  principal text not null,
  agent_id text not null,
  title text not null,
  collaboration_type text not null check (collaboration_type in ('review', 'debug', 'design', 'incident')),
  agent_domains text[] not null default '{}',
  status text not null default 'open' check (status in ('open', 'resolved', 'expired')),
  progress double precision not null default 0 check (progress between 0 and 1),
  quorum integer not null check (quorum > 0),
  margin integer not null check (margin > 0),
  deadline timestamptz not null,
  accepted_solution_id uuid,
  learning_id uuid,
  version integer not null default 1,
  created_at timestamptz not null default now(),
  closed_at timestamptz,
  constraint accepted_is_resolved check ((status = 'resolved') = (accepted_solution_id is not null))
);
create index agent_collaborations_page on patterns.agent_collaborations (created_at desc, id desc);
create index agent_collaborations_due on patterns.agent_collaborations (deadline) where status = 'open';

create table patterns.collaboration_members (
  collaboration_id uuid not null references patterns.agent_collaborations (id),
  principal text not null,
  agent_id text not null,
  joined_at timestamptz not null default clock_timestamp(),
  primary key (collaboration_id, principal, agent_id)
);

create table patterns.collaboration_solutions (
  id uuid primary key,
  collaboration_id uuid not null references patterns.agent_collaborations (id),
  principal text not null,
  agent_id text not null,
  title text not null,
  body text not null,
  created_at timestamptz not null default clock_timestamp()
);
create index collaboration_solutions_of on patterns.collaboration_solutions (collaboration_id, created_at, id);

create table patterns.collaboration_votes (
  solution_id uuid not null references patterns.collaboration_solutions (id),
  principal text not null,
  collaboration_id uuid not null references patterns.agent_collaborations (id),
  value smallint not null check (value in (1, -1)),
  reason text,
  voted_at timestamptz not null default clock_timestamp(),
  primary key (solution_id, principal)
);
create index collaboration_votes_of on patterns.collaboration_votes (collaboration_id);
