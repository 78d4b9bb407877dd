"""Jobs: the visitor of the request that queued a job is the visitor of the job.

- `datalyr_core.jobs.celery`: one call, `install(app)`.
- `datalyr_core.jobs.rq`: RQ's own classes, each to be imported from here in its place.

Neither is imported before an application does it, and nothing else here knows them.
"""
