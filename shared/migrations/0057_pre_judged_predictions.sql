-- Writer: scoring (role scoring_rw).
-- The rows of scoring.live_outcomes, kept as they come: a calibration reads the newest ten thousand of a version, and
-- would else ask for the outcome of each fix of twice as many.
create table scoring.judged_predictions (
  fix_id uuid primary key,
  model_version text not null,
  scored_at timestamptz not null,
  confidence double precision not null,
  held boolean not null,
  bin integer not null generated always as (least(width_bucket(confidence, 0, 1, 20), 20)) stored,
  squared double precision not null generated always as ((confidence - held::integer) ^ 2) stored
);
create index judged_predictions_newest
on scoring.judged_predictions (model_version, scored_at desc) include (bin, confidence, held, squared);
alter table scoring.judged_predictions set
  (autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_vacuum_scale_factor = 0.05);

-- Nothing else of a fix changes once it has an outcome that counts.
create function scoring.keep_judged_predictions() returns trigger language plpgsql
set search_path = pg_catalog, pg_temp as $$
begin
  if tg_op <> 'INSERT' then
    delete from scoring.judged_predictions j where j.fix_id = old.fix_id;
  end if;
  if tg_op <> 'DELETE' then
    insert into scoring.judged_predictions as j (fix_id, model_version, scored_at, confidence, held)
    select o.id, o.model_version, o.scored_at, o.confidence, o.held from scoring.live_outcomes o
    where o.id = new.fix_id and o.model_version is not null
    on conflict (fix_id) do update set held = excluded.held;
  end if;
  return null;
end $$;
-- What comes effective at once was imported with its fix, and so judges nothing.
create trigger judged_predictions_came after insert on scoring.fix_outcomes for each row
when (new.effective and not new.imported) execute function scoring.keep_judged_predictions();
create trigger judged_predictions_changed
after update of fix_id, kind, observed_at, reported_at, effective on scoring.fix_outcomes for each row
when (old.effective or new.effective) execute function scoring.keep_judged_predictions();
create trigger judged_predictions_gone after delete on scoring.fix_outcomes for each row
when (old.effective) execute function scoring.keep_judged_predictions();
