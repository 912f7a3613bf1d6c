"""The wizard at `/console/integrations/new`: seven steps, each with an address of its own."""

from fastapi import APIRouter

from app.console.wizard import account, checked, jebbit, live, mapping, sample, whom

router = APIRouter()
for each in (account, jebbit, sample, mapping, whom, checked, live):
    router.include_router(each.router)
