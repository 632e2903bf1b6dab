-- Writer: cli (role control_rw).
create table control.api_keys (
  id uuid primary key,
  hash bytea not null unique,
  prefix text not null,
  principal text not null,
  scopes text[] not null,
  agents text[] not null default '{*}',
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  revoked_at timestamptz
);
