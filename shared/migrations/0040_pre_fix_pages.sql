-- Writer: scoring (role scoring_rw).
-- Words as people write them in code: a sign stands between two of them, or the parser would take them for one path,
-- host or number. With them whose they are, so that one index finds a word of one repository.
alter table scoring.agent_auto_fixes add column words tsvector
generated always as (strip(to_tsvector('simple',
  translate(left(coalesce(title, ''), 200), '!"#$%&''()*+,-./:;<=>?@[\]^_`{|}~', '                                ')))
  || array_to_tsvector(array['agent:' || md5(coalesce(agent_id, '')), 'repository:' || md5(coalesce(repository, ''))]))
stored;

-- A page of fixes is a range of one index, for each combination of filters that is served.
create index agent_auto_fixes_repository_agent
on scoring.agent_auto_fixes (repository, agent_id, submitted_at desc, id desc);
create index agent_auto_fixes_repository_status
on scoring.agent_auto_fixes (repository, status, submitted_at desc, id desc);
create index agent_auto_fixes_status on scoring.agent_auto_fixes (status, submitted_at desc, id desc);
-- In place of `agent_auto_fixes_fared`: it is also all that the refresh of `agent_stats` reads.
create index agent_auto_fixes_agent_status
on scoring.agent_auto_fixes (agent_id, status, submitted_at desc, id desc) include (confidence)
where agent_id is not null;
drop index scoring.agent_auto_fixes_fared;

create index agent_auto_fixes_words on scoring.agent_auto_fixes using gin (words);
-- A common word is found on the way through the newest, which an index passes in a tenth of the pages. It takes no
-- entry of any length, hence the first 200 characters.
drop index scoring.agent_auto_fixes_page;
create index agent_auto_fixes_page on scoring.agent_auto_fixes (submitted_at desc, id desc) include (words);

-- One row a domain that a fix declares. A GIN index finds the fixes of a domain, but not the newest of them: whatever
-- is neither rare nor common is then read as a whole and sorted, and the planner has to guess which it is.
create table scoring.fix_domains (
  domain text not null,
  submitted_at timestamptz not null,
  fix_id uuid not null,
  repository text not null,
  primary key (domain, submitted_at, fix_id)
);
create index fix_domains_repository on scoring.fix_domains (repository, domain, submitted_at desc, fix_id desc);

create function scoring.keep_fix_domains() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if tg_op <> 'INSERT' then
    delete from scoring.fix_domains d using gone g
    where d.domain = any (g.domains) and d.submitted_at = g.submitted_at and d.fix_id = g.id;
  end if;
  if tg_op <> 'DELETE' then
    insert into scoring.fix_domains (domain, submitted_at, fix_id, repository)
    select distinct d, c.submitted_at, c.id, c.repository from came c cross join lateral unnest(c.domains) d
    where c.submitted_at is not null and c.repository is not null;
  end if;
  return null;
end $$;
create function scoring.change_fix_domains() returns trigger language plpgsql
set search_path = pg_catalog, pg_temp as $$
begin
  delete from scoring.fix_domains d
  where d.domain = any (old.domains) and d.submitted_at = old.submitted_at and d.fix_id = old.id;
  insert into scoring.fix_domains (domain, submitted_at, fix_id, repository)
  select distinct d, new.submitted_at, new.id, new.repository from unnest(new.domains) d
  where new.submitted_at is not null and new.repository is not null;
  return null;
end $$;
create trigger fix_domains_came after insert on scoring.agent_auto_fixes
referencing new table as came for each statement execute function scoring.keep_fix_domains();
create trigger fix_domains_gone after delete on scoring.agent_auto_fixes
referencing old table as gone for each statement execute function scoring.keep_fix_domains();
-- A row at a time, for it looks at those alone whose domains or place have changed: a stub that is completed.
create trigger fix_domains_changed after update of domains, submitted_at, repository on scoring.agent_auto_fixes
for each row
when ((old.domains, old.submitted_at, old.repository) is distinct from (new.domains, new.submitted_at, new.repository))
execute function scoring.change_fix_domains();
insert into scoring.fix_domains (domain, submitted_at, fix_id, repository)
select distinct d, f.submitted_at, f.id, f.repository
from scoring.agent_auto_fixes f cross join lateral unnest(f.domains) d
where f.submitted_at is not null and f.repository is not null;
