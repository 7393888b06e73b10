-- The most steps that a checkpoint of the job held when it was claimed. Unlike `checkpoint` it never goes back, so that a
-- worker that starts over and is lost again, no further than others were before it, has used up an attempt.
alter table training_jobs add column furthest bigint not null default 0;
