from collections import Counter
from tests.security.test_fuzz import *
from tests.support import wire as W
C={}
orig=W.Wire.check
def check(self, a, r):
    loc=a.header("Location")
    key=(a.status, "signin" if loc.startswith("/signin") else "code" if "code=" in loc else loc[loc.find("error="):][:30] if "error=" in loc else loc[:20], r.get("path") if "path" in r else "")
    C[key]=C.get(key,0)+1
    return orig(self,a,r)
W.Wire.check=check
import atexit
def test_show(target):
    test_authorize_survives(target)
    print(sorted(C.items(), key=lambda x:-x[1]))
def test_show2(target):
    C.clear()
    test_machine_endpoints_survive(target)
    print(sorted(C.items(), key=lambda x:-x[1])[:40])
