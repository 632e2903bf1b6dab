-- Writer: scoring (role scoring_rw).
-- `fixes` are changes that mended something; `expected` is how many failures changes of those sizes have elsewhere.
-- Buckets from before count none: their keys look a little worse than they are until these days have passed.
alter table scoring.author_history
  add column fixes integer not null default 0,
  add column last_fix_at timestamptz,
  add column expected double precision not null default 0;
alter table scoring.file_history
  add column fixes integer not null default 0,
  add column last_fix_at timestamptz,
  add column expected double precision not null default 0;
alter table scoring.repository_history
  add column fixes integer not null default 0,
  add column last_fix_at timestamptz,
  add column expected double precision not null default 0;
