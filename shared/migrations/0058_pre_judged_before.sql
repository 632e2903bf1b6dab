-- Writer: scoring (role scoring_rw).
-- Those of before. Each outcome is held meanwhile: whoever changes it does so before this reads it, or after the commit.
insert into scoring.judged_predictions (fix_id, model_version, scored_at, confidence, held)
select f.id, f.model_version, f.scored_at, f.confidence, o.kind = 'held'
from scoring.fix_outcomes o join scoring.agent_auto_fixes f on f.id = o.fix_id
where o.effective and o.kind in ('held', 'reverted', 'fixed_again') and f.model_version is not null
  and not f.imported and f.scored_at is not null and o.observed_at > f.scored_at and o.reported_at > f.scored_at
order by f.scored_at
for share of o
on conflict do nothing;
analyze scoring.judged_predictions;

create or replace function scoring.calibration(version text, most integer)
returns table (bin integer, count bigint, predicted double precision, observed double precision, squared double precision)
language sql stable as $$
  select bin, count(*), avg(confidence), avg(held::integer)::double precision, sum(squared)
  from (
    select bin, confidence, held, squared from scoring.judged_predictions where model_version = version
    order by scored_at desc limit most
  ) newest
  group by bin
$$;
