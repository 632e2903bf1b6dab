-- Writer: scoring (role scoring_rw).
-- The day that a fix is of, since 1970. An index of words that knows it too finds the words of some days alone: what it
-- knows of a day lies together, in a byte or two for each fix.
create function scoring.day_of(at timestamptz) returns integer language sql immutable
return (at at time zone 'UTC')::date - date '1970-01-01';

-- The newest fixes before a place in the list, by any words, also of one agent or repository. What is common is found
-- among the newest 500. Before them come days, as many at a time as should hold what is missing, fewer where they hold
-- too much; and where all of them should hold little, all at once. So what is read follows the length of a page,
-- however common the words are, or were. When all days are looked at, an index would read all that it knows of a word:
-- one of every fourth fix is then looked for in the rows that the others lead to. `is true` keeps a condition from any
-- index. Planned once for whatever is asked.
create function scoring.fixes_found(
  query tsquery, before_at timestamptz, before_id uuid, most integer, since timestamptz default null,
  until timestamptz default null, of_agent text default null, of_repository text default null
) returns table (at timestamptz, id uuid) language plpgsql stable rows 100
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
declare
  newest record;
  looked_at integer := 0;
  found_now integer := 0;
  first_day integer;
  day integer; -- the newest that was not looked at
  span integer := 1; -- days that are looked at together
  wanted integer; -- as many days as should hold what is missing
  few boolean := true; -- whether all that is left may be
  rarer tsquery;
  times timestamptz[];
  ids uuid[];
begin
  if numnode(query) = 0 then return; end if;
  if of_agent is not null then query := query && ('''agent:' || md5(of_agent) || '''')::tsquery; end if;
  if of_repository is not null then query := query && ('''repository:' || md5(of_repository) || '''')::tsquery; end if;
  since := coalesce(since, '-infinity');
  before_at := coalesce(before_at, 'infinity');
  before_id := coalesce(before_id, '00000000-0000-0000-0000-000000000000');
  if until <= before_at then
    before_at := until;
    before_id := '00000000-0000-0000-0000-000000000000';
  end if;

  for newest in
    select f.submitted_at, f.id, f.words @@ query as found from scoring.agent_auto_fixes f
    where (f.submitted_at, f.id) < (before_at, before_id) and f.submitted_at >= since
    order by f.submitted_at desc, f.id desc limit 500
  loop
    looked_at := looked_at + 1;
    if newest.found then
      at := newest.submitted_at;
      id := newest.id;
      return next;
      found_now := found_now + 1;
      if found_now = most then return; end if;
    end if;
  end loop;
  if looked_at < 500 then return; end if;

  most := most - found_now;
  before_at := newest.submitted_at;
  before_id := newest.id;
  day := scoring.day_of(before_at);
  first_day := scoring.day_of(greatest(since, (select min(f.submitted_at) from scoring.agent_auto_fixes f)));
  while most > 0 and day >= first_day loop
    wanted := 1 + span * most / greatest(found_now, 1);
    if few and span > 1 and wanted > 128 and found_now * (day - first_day) < 300 * span then
      span := day - first_day + 1;
      rarer := (
        select string_agg(word, ' & ') from string_to_table(query::text, ' & ') word where 25 > (
          select count(*) filter (where f.words @@ word::tsquery) from (
            select f.words from scoring.agent_auto_fixes f where (f.submitted_at, f.id) < (before_at, before_id)
            order by f.submitted_at desc, f.id desc limit 100
          ) f
        )
      );
      select array_agg(f.submitted_at), array_agg(f.id) into times, ids from (
        select f.submitted_at, f.id from scoring.agent_auto_fixes f
        where f.words @@ coalesce(rarer, query) and (f.words @@ query) is true
          and ((f.submitted_at, f.id) < (before_at, before_id) and f.submitted_at >= since) is true
        limit case when span > 1 then 500 end
      ) f;
    else
      span := least(8 * span, wanted, 128);
      select array_agg(f.submitted_at), array_agg(f.id) into times, ids from (
        select f.submitted_at, f.id from scoring.agent_auto_fixes f
        where f.words @@ query
          and array[scoring.day_of(f.submitted_at)] && array(select generate_series(day - span + 1, day))
          and ((f.submitted_at, f.id) < (before_at, before_id) and f.submitted_at >= since) is true
        limit case when span > 1 then 500 end
      ) f;
    end if;
    found_now := coalesce(cardinality(ids), 0);
    if found_now = 500 and span > 1 then
      few := false;
      span := greatest(least(span, 128) / 32, 1);
      continue; -- a page lacks less than 500, so it is fewer days next
    end if;
    return query select * from unnest(times, ids) f (at, id) order by f.at desc, f.id desc limit most;
    most := most - found_now;
    day := day - span;
    before_at := timestamptz 'epoch' + (day + 1) * interval '24 hours';
    before_id := '00000000-0000-0000-0000-000000000000';
  end loop;
end $$;
