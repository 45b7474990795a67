"""The dashboard's screens: one file each, named as its template in templates/pages/."""

from web.pages import (
    automation,
    campaign_editor,
    campaign_preview,
    campaign_trial,
    campaigns,
    message,
    outbox,
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
    campaigns.pages,
    campaign_editor.pages,
    campaign_preview.pages,
    campaign_trial.pages,
    schedule_form.pages,
    schedule.pages,
    schedule_actions.pages,
    runs.pages,
    run.pages,
    outbox.pages,
    message.pages,
)
