-- Writer: patterns (role patterns_rw).
-- Where a pattern lies, apart from what it gains with every fix: an update of an indexed row enters all its indexes
-- anew, and a place is entered into two graphs.
create table patterns.pattern_places (
  pattern_id uuid primary key references patterns.patterns (id) on delete cascade,
  words halfvec(256) not null,
  paths sparsevec(1000000000)
);
insert into patterns.pattern_places select id, centroid, paths from patterns.patterns;
create index pattern_places_words on patterns.pattern_places using hnsw (words halfvec_cosine_ops);
create index pattern_places_paths on patterns.pattern_places using hnsw (paths sparsevec_ip_ops);
alter table patterns.patterns alter column centroid drop not null;

-- A fix without an outcome is open: another that repeats it is told so, however long ago it was.
alter table patterns.fix_patterns add column settled boolean not null default false;

-- The statements of patterns take their rows as arrays, so one plan suits whatever they hold; planning anew for every
-- fix costs as much as running. A setting of the role, for that holds behind a pooler too.
do $$
begin
  alter role patterns_rw set plan_cache_mode = force_generic_plan;
exception
  when insufficient_privilege then null; -- the roles were made by somebody else: slower, no less right
  when internal_error then null; -- another database of the same cluster is being migrated right now
end $$;
