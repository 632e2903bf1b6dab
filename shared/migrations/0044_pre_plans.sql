-- Writer: the owner.
-- What a list is asked for decides how it is best found: a word may be in every other row or in none. A plan for any
-- word, which Postgres would turn to after five of them, is wrong for most. A setting of the role, for that holds behind
-- a pooler too.
do $$
begin
  alter role gateway_ro set plan_cache_mode = force_custom_plan;
exception
  when insufficient_privilege then null; -- the roles were made by somebody else: slower, no less right
  when internal_error then null; -- another database of the same cluster is being migrated right now
end $$;
