package dev.sipwake.sample

import java.io.File
import javax.xml.parsers.DocumentBuilderFactory
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertTrue
import org.w3c.dom.Element

private const val ANDROID = "http://schemas.android.com/apk/res/android"

/** Mistakes that Android punishes only at run time, or never reports. */
class ManifestTest {
    private val document = DocumentBuilderFactory.newInstance().apply { isNamespaceAware = true }.newDocumentBuilder()
        .parse(File(System.getProperty("sample.main"), "AndroidManifest.xml"))
    private val application = elements("application").single()
    private val components = listOf("activity", "service", "receiver", "provider").flatMap(::elements)

    private fun elements(tag: String): List<Element> =
        document.getElementsByTagName(tag).let { found -> (0 until found.length).map { found.item(it) as Element } }

    private fun Element.android(name: String): String = getAttributeNS(ANDROID, name)

    private fun component(name: String) = components.single { it.android("name").substringAfterLast('.') == name }

    @Test
    fun `every name in the manifest is a class`() {
        for (element in components + application) {
            val name = element.android("name").let { if (it.startsWith(".")) "dev.sipwake.sample$it" else it }
            assertEquals(name, Class.forName(name, false, javaClass.classLoader).name)
        }
    }

    @Test
    fun `other apps reach only the launcher's activity, and the system also the calls`() {
        assertTrue(components.all { it.android("exported") in setOf("true", "false") }, "each says whether it is exported")
        val exported = components.filter { it.android("exported") == "true" }.map { it.android("name") }
        assertEquals(listOf(".android.MainActivity", "dev.sipwake.android.SipWakeConnectionService"), exported)
        assertEquals(
            "android.permission.BIND_TELECOM_CONNECTION_SERVICE",
            component("SipWakeConnectionService").android("permission"),
        )
    }

    @Test
    fun `the call's service has its type, and the permissions that the type needs`() {
        assertEquals("phoneCall", component("SipWakeCallService").android("foregroundServiceType"))
        val permissions = elements("uses-permission").map { it.android("name").removePrefix("android.permission.") }.toSet()
        val needed = setOf("FOREGROUND_SERVICE", "FOREGROUND_SERVICE_PHONE_CALL", "MANAGE_OWN_CALLS", "POST_NOTIFICATIONS", "USE_FULL_SCREEN_INTENT")
        assertEquals(emptySet(), needed - permissions)
    }

    @Test
    fun `no backup contains a binding`() {
        assertEquals("false", application.android("allowBackup"))
        assertEquals("false", application.android("fullBackupContent"))
        assertEquals("@xml/data_extraction_rules", application.android("dataExtractionRules"))
    }

    @Test
    fun `the call shows over the lock screen`() {
        val activity = component("CallActivity")
        assertEquals("true" to "true", activity.android("showWhenLocked") to activity.android("turnScreenOn"))
    }
}
