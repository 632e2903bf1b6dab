-- Writer: the owner.
-- A list finds its page by an index and looks up what belongs to each row by its key, and its plan is made anew for what
-- is asked (0044). To weigh other joins takes a third of that time, and at a million rows no read was slower without.
do $$
begin
  alter role gateway_ro set enable_hashjoin = off;
  alter role gateway_ro set enable_mergejoin = off;
  alter role gateway_ro set enable_memoize = off;
  alter role gateway_ro set enable_material = off;
exception
  when insufficient_privilege then null; -- the roles were made by somebody else: slower, no less right
  when internal_error then null; -- another database of the same cluster is being migrated right now
end $$;
