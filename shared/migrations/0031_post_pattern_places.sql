-- Writer: patterns (role patterns_rw).
-- What code of before 0030 has found since.
insert into patterns.pattern_places select id, centroid, paths from patterns.patterns where centroid is not null
on conflict do nothing;
alter table patterns.patterns drop column centroid, drop column paths, drop column path_terms;
