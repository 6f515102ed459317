"""slapd.conf of the tests' OpenLDAP server (slapd.py): overlays, limits, and what docs/connect-a-directory.md grants to the service accounts."""

CONF = """\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include /etc/ldap/schema/nis.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload ppolicy
moduleload syncprov
moduleload memberof
pidfile {folder}/slapd.pid
TLSCACertificateFile {ca}
TLSCertificateFile {folder}/server.pem
TLSCertificateKeyFile {folder}/server.key
TLSVerifyClient never
TLSProtocolMin 3.3
sizelimit 500
threads 8
database mdb
suffix "{suffix}"
rootdn "{root}"
rootpw {root_password}
directory {folder}/db
maxsize 268435456
dbnosync
index objectClass,entryUUID,entryCSN eq
index uid,mail,employeeNumber eq
index member,uniqueMember,memberUid eq
{limits}
access to dn.exact="{canary}" attrs=pwdAccountLockedTime
  by dn.exact="{canary_service}" manage
  by * break
access to dn.subtree="{people}" attrs=pwdReset,pwdAccountLockedTime
  by dn.exact="{desk_service}" manage
  by * break
access to attrs=userPassword
  by dn.exact="{password_service}" write
  by dn.exact="{desk_service}" write
  by self =xw
  by anonymous auth
  by * none
access to attrs=pwdHistory by * none
access to dn.subtree="{people}" attrs={readable}
  by dn.exact="{service}" read
  by dn.exact="{password_service}" read
  by dn.exact="{desk_service}" read
  by * none
access to dn.subtree="{groups}" attrs={shown_of_groups}
  by dn.exact="{service}" read
  by dn.exact="{password_service}" read
  by dn.exact="{desk_service}" read
  by * none
access to dn.subtree="ou=policies,{suffix}"
  by dn.exact="{service}" read
  by dn.exact="{password_service}" read
  by dn.exact="{desk_service}" read
  by * none
access to * by * none
overlay memberof
memberof-group-oc groupOfNames
overlay ppolicy
ppolicy_default "{policy}"
ppolicy_use_lockout
{tells}
"""
LIMITS = 'limits dn.exact="{service}" size=unlimited time=unlimited\nlimits dn.exact="{password_service}" size=unlimited time=unlimited'
TELLS = "overlay syncprov\nsyncprov-sessionlog 1000"
SHOWN_OF_GROUPS = "entry,objectClass,entryCSN,cn,member,uniqueMember,memberUid"
# What docs/connect-a-directory.md grants: `entry` and `objectClass` to match, then what is read.
READABLE = ",".join(
    (
        *("entry", "children", "objectClass", "entryUUID", "entryCSN", "uid", "cn", "sn", "givenName", "mail", "mobile"),
        *("employeeNumber", "employeeType", "departmentNumber", "shadowExpire"),
        *("pwdAccountLockedTime", "pwdReset", "pwdChangedTime", "pwdStartTime", "pwdEndTime", "pwdPolicySubentry"),
        "pwdFailureTime",
    )
)
