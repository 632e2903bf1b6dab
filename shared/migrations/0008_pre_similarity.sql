-- Writer: patterns (role patterns_rw).
-- The path tree as a sparse vector of its own, terms by their hash; null where a change has no paths.
-- Indexed for patterns only, which are asked for over all repositories; fixes are compared within theirs.
alter table patterns.patterns add column paths sparsevec(1000000000);
create index patterns_paths on patterns.patterns using hnsw (paths sparsevec_ip_ops);

-- `place` is the hash of the set of changed files: changes of the same files, however long ago, are found by it.
alter table patterns.fix_patterns add column paths sparsevec(1000000000), add column place bigint;
create index fix_patterns_place on patterns.fix_patterns (repository, place, submitted_at desc);
