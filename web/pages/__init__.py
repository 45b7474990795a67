"""The dashboard's screens: one file each, named as its template in templates/pages/."""

from web.pages import (
    automation,
    run,
    runs,
    schedule,
    schedule_actions,
    schedule_form,
    sign_in,
)

PAGES = (
    sign_in.pages,
    automation.pages,
    schedule_form.pages,
    schedule.pages,
    schedule_actions.pages,
    runs.pages,
    run.pages,
)
