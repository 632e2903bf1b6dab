-- Writer: patterns (role patterns_rw).
-- Which category model spoke; null for those before, and for the file that ships while none was registered.
alter table patterns.fix_patterns add column model_version text;
