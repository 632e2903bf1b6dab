-- Writer: the owner. One role per writing service, one that may only read.
-- Passwords are set by whoever runs the migrations (see shared/migrate.py); until then nobody can log in.
do $$
declare r text;
begin
  foreach r in array array['gateway_ro', 'scoring_rw', 'patterns_rw', 'trainer_rw', 'control_rw'] loop
    if not exists (select 1 from pg_roles where rolname = r) then
      begin
        execute format('create role %I login', r);
      exception when duplicate_object or unique_violation then
        null; -- another database of the same cluster is being migrated right now
      end;
    end if;
  end loop;
end $$;

create extension if not exists vector with schema public;

create schema if not exists scoring;
create schema if not exists patterns;
create schema if not exists trainer;
create schema if not exists control;

grant usage on schema scoring, patterns, trainer, control to gateway_ro;
grant usage on schema scoring, trainer to scoring_rw;
grant usage on schema patterns, trainer to patterns_rw;
grant usage on schema scoring, patterns, trainer to trainer_rw;
grant usage on schema control to control_rw;

do $$
declare s text;
begin
  foreach s in array array['scoring', 'patterns', 'trainer', 'control'] loop
    execute format('alter default privileges in schema %I grant select, insert, update, delete on tables to %I', s, s || '_rw');
    execute format('alter default privileges in schema %I grant usage, select on sequences to %I', s, s || '_rw');
    execute format('alter default privileges in schema %I grant select on tables to gateway_ro', s);
  end loop;
end $$;
-- The trainer learns from what scoring and patterns wrote; those two serve what the trainer registered.
alter default privileges in schema scoring grant select on tables to trainer_rw;
alter default privileges in schema patterns grant select on tables to trainer_rw;
alter default privileges in schema trainer grant select on tables to scoring_rw, patterns_rw;
