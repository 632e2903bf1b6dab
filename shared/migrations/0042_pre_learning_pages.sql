-- Writer: patterns (role patterns_rw).
-- As of fixes, see scoring.agent_auto_fixes.
alter table patterns.agent_learnings add column words tsvector
generated always as (strip(to_tsvector('simple',
  translate(title || ' ' || body, '!"#$%&''()*+,-./:;<=>?@[\]^_`{|}~', '                                ')))
  || array_to_tsvector(array['agent:' || md5(coalesce(agent_id, ''))])) stored;

-- A page of learnings is a range of one index, for each combination of filters that is served.
create index agent_learnings_agent on patterns.agent_learnings (agent_id, created_at desc, id desc);
create index agent_learnings_category on patterns.agent_learnings (category, created_at desc, id desc);
create index agent_learnings_status on patterns.agent_learnings (status, created_at desc, id desc);
create index agent_learnings_agent_category on patterns.agent_learnings (agent_id, category, created_at desc, id desc);
create index agent_learnings_agent_status on patterns.agent_learnings (agent_id, status, created_at desc, id desc);
create index agent_learnings_pattern_page on patterns.agent_learnings (pattern_id, created_at desc, id desc)
where pattern_id is not null;
drop index patterns.agent_learnings_pattern;

create index agent_learnings_words on patterns.agent_learnings using gin (words, agent_domains);

-- One row a domain that a learning is for; '' for one without. See scoring.fix_domains for why.
-- `confirmed` is the lower end of the 95 % Wilson interval of its success, which the handbook is ordered by.
create table patterns.learning_domains (
  domain text not null,
  created_at timestamptz not null,
  learning_id uuid not null,
  status text not null,
  category text,
  confirmed double precision not null,
  primary key (domain, created_at, learning_id)
);
create index learning_domains_status on patterns.learning_domains (domain, status, created_at desc, learning_id desc);
create index learning_domains_category
on patterns.learning_domains (domain, category, created_at desc, learning_id desc);
create index learning_domains_confirmed
on patterns.learning_domains (domain, confirmed desc, created_at desc, learning_id) where status = 'active';

-- How many active learnings there are of each.
create table patterns.learning_domain_counts (
  domain text primary key,
  active integer not null
);
create index learning_domain_counts_most on patterns.learning_domain_counts (active desc, domain) where active > 0;

create function patterns.domains_of(domains text[]) returns text[] language sql immutable
return case when domains = '{}' then '{""}' else domains end;

create function patterns.confirmed(successes integer, uses integer) returns double precision language sql immutable
return case when uses > 0 then greatest(0, (successes + 1.96 ^ 2 / 2
  - 1.96 * sqrt(successes::double precision * (uses - successes) / uses + 1.96 ^ 2 / 4)) / (uses + 1.96 ^ 2)) else 0 end;

create function patterns.keep_learning_domains() returns trigger language plpgsql
set search_path = pg_catalog, pg_temp as $$
begin
  if tg_op = 'INSERT' then
    insert into patterns.learning_domains (domain, created_at, learning_id, status, category, confirmed)
    select distinct d, c.created_at, c.id, c.status, c.category, patterns.confirmed(c.successes, c.uses)
    from came c cross join lateral unnest(patterns.domains_of(c.agent_domains)) d;
    insert into patterns.learning_domain_counts as k (domain, active)
    select d, count(distinct c.id) from came c cross join lateral unnest(patterns.domains_of(c.agent_domains)) d
    where c.status = 'active' group by d order by d
    on conflict (domain) do update set active = k.active + excluded.active;
  else
    delete from patterns.learning_domains d using gone g
    where d.domain = any (patterns.domains_of(g.agent_domains)) and d.created_at = g.created_at and d.learning_id = g.id;
    insert into patterns.learning_domain_counts as k (domain, active)
    select d, -count(distinct g.id) from gone g cross join lateral unnest(patterns.domains_of(g.agent_domains)) d
    where g.status = 'active' group by d order by d
    on conflict (domain) do update set active = k.active + excluded.active;
  end if;
  return null;
end $$;
create function patterns.change_learning_domains() returns trigger language plpgsql
set search_path = pg_catalog, pg_temp as $$
begin
  delete from patterns.learning_domains d
  where d.domain = any (patterns.domains_of(old.agent_domains)) and d.created_at = old.created_at
    and d.learning_id = old.id;
  insert into patterns.learning_domains (domain, created_at, learning_id, status, category, confirmed)
  select distinct d, new.created_at, new.id, new.status, new.category, patterns.confirmed(new.successes, new.uses)
  from unnest(patterns.domains_of(new.agent_domains)) d;
  insert into patterns.learning_domain_counts as k (domain, active)
  select d, sum(n) from (
    select distinct d, -1 as n from unnest(patterns.domains_of(old.agent_domains)) d where old.status = 'active'
    union all
    select distinct d, 1 from unnest(patterns.domains_of(new.agent_domains)) d where new.status = 'active'
  ) moved group by d having sum(n) <> 0 order by d
  on conflict (domain) do update set active = k.active + excluded.active;
  return null;
end $$;
create trigger learning_domains_came after insert on patterns.agent_learnings
referencing new table as came for each statement execute function patterns.keep_learning_domains();
create trigger learning_domains_gone after delete on patterns.agent_learnings
referencing old table as gone for each statement execute function patterns.keep_learning_domains();
create trigger learning_domains_changed
after update of agent_domains, status, category, uses, successes on patterns.agent_learnings for each row
when ((old.agent_domains, old.status, old.category, old.uses, old.successes)
  is distinct from (new.agent_domains, new.status, new.category, new.uses, new.successes))
execute function patterns.change_learning_domains();
insert into patterns.learning_domains (domain, created_at, learning_id, status, category, confirmed)
select distinct d, l.created_at, l.id, l.status, l.category, patterns.confirmed(l.successes, l.uses)
from patterns.agent_learnings l cross join lateral unnest(patterns.domains_of(l.agent_domains)) d;
insert into patterns.learning_domain_counts (domain, active)
select domain, count(*) from patterns.learning_domains where status = 'active' group by domain;
